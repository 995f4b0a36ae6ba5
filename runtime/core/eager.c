/* Operations on arrays at hand: one look-up leads from the types of the operands to a program.
 *
 * In: programs, installed by whoever compiles them, for an Operation and operands of given types.
 * Out: results. A Python number stands for a weak 0-d Array of the dtype that the Arrays beside it
 * have, where that takes the number without changing its kind; alone, for one of its own dtype.
 * NumPy's arrays are copied. What there is no program for goes to `unknown`. What there can be none
 * for, what `unknown` answers with NotImplemented, and all while a trace records, goes to the
 * function itself.
 * Must not know what an operation means.
 */
#include "core.h"

#include <structmember.h>

#define MOST_PROGRAMS 4096
#define MOST_OPERANDS 3
#define MOST_WORDS (1 + MOST_OPERANDS * (1 + MAX_DIMENSIONS))

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function;
    PyObject *unknown; /* is called with the Operation and its operands */
    uint64_t number;   /* tells it from all others */
    bool takes_numbers;
    bool keeps_integer; /* an integer as its last operand is no Array: each has its own program */
} Operation;

/* The operands of one call: Arrays, but perhaps for an integer at the end. */
typedef struct {
    PyObject *items[MOST_OPERANDS]; /* owned */
    int count, array_count;
} Operands;

typedef struct {
    uint64_t words[MOST_WORDS];
    uint64_t hash;
    int count;
} Key;

typedef struct {
    uint64_t hash;
    uint64_t *words; /* NULL: a free slot */
    int count;
    PyObject *executable;
} Program;

static PyTypeObject *OperationType;
static uint64_t operation_count;
static Program *programs; /* open addressing; the size is a power of two */
static size_t slot_count, program_count;

/* ---- keys ---- */

static void add_to_key(Key *key, uint64_t word)
{
    key->words[key->count++] = word;
    key->hash = (key->hash ^ word) * 0xff51afd7ed558ccdu;
    key->hash ^= key->hash >> 32;
}

static void make_key(Key *key, const Operation *operation, const Operands *operands)
{
    key->count = 0;
    key->hash = 0x9e3779b97f4a7c15u;
    add_to_key(key, operation->number << 1 | numbers_are_wide());
    for (int k = 0; k < operands->array_count; k++) {
        const Array *array = (const Array *)operands->items[k];
        add_to_key(key, array_word(array));
        for (int i = 0; i < array->dimensions; i++)
            add_to_key(key, (uint64_t)array->shape[i]);
    }
    if (operands->array_count < operands->count) {
        add_to_key(key, WORD_STATIC);
        add_to_key(key, (uint64_t)PyLong_AsLongLong(operands->items[operands->array_count]));
    }
}

/* ---- the table ---- */

static Program *find(const Key *key)
{
    for (size_t at = key->hash; slot_count; at++) {
        Program *program = &programs[at & (slot_count - 1)];
        if (!program->words)
            return NULL;
        if (program->hash == key->hash && program->count == key->count
            && memcmp(program->words, key->words, (size_t)key->count * sizeof *key->words) == 0)
            return program;
    }
    return NULL;
}

static void forget_all(void)
{
    Program *old = programs;
    size_t count = slot_count;
    programs = NULL;
    slot_count = program_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (old[i].words) {
            PyMem_Free(old[i].words);
            Py_DECREF(old[i].executable);
        }
    }
    PyMem_Free(old);
}

static void place(Program *slots, size_t count, Program program)
{
    size_t at = program.hash & (count - 1);
    while (slots[at].words)
        at = (at + 1) & (count - 1);
    slots[at] = program;
}

static int make_room(void)
{
    if (program_count >= MOST_PROGRAMS)
        forget_all();
    if (program_count * 2 < slot_count)
        return 0;
    size_t count = slot_count ? slot_count * 2 : 64;
    Program *larger = PyMem_Calloc(count, sizeof *larger);
    if (!larger) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < slot_count; i++)
        if (programs[i].words)
            place(larger, count, programs[i]);
    PyMem_Free(programs);
    programs = larger;
    slot_count = count;
    return 0;
}

static int keep(const Key *key, PyObject *executable)
{
    if (find(key))
        return 0;
    if (make_room() < 0)
        return -1;
    size_t bytes = (size_t)key->count * sizeof *key->words;
    uint64_t *words = PyMem_Malloc(bytes);
    if (!words) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(words, key->words, bytes);
    Program program = {key->hash, words, key->count, Py_NewRef(executable)};
    place(programs, slot_count, program);
    program_count++;
    return 0;
}

/* ---- operands ---- */

static void drop_operands(Operands *operands)
{
    for (int i = 0; i < operands->count; i++)
        Py_DECREF(operands->items[i]);
}

/* Arrays, those of NumPy among them as Arrays; numbers as they are. Whether it is all of these. */
static bool take_operands(Operands *operands, PyObject *const *given, Py_ssize_t count)
{
    operands->count = operands->array_count = 0;
    for (; operands->count < count; operands->count++) {
        PyObject *operand = given[operands->count];
        if (!ARRAY_CHECK(operand) && is_plain_numpy(operand))
            operand = array_from_numpy(operand, false, true);
        else if (ARRAY_CHECK(operand) || number_dtype(operand) >= 0)
            Py_INCREF(operand);
        else
            return false;
        if (!operand)
            return false;
        operands->items[operands->count] = operand;
        operands->array_count += ARRAY_CHECK(operand);
    }
    return true;
}

/* An Array whose dtype numbers beside it take: booleans apart, all have that; or NULL. A weak one
 * only takes numbers of its own dtype, since either could change the other's. */
static const Array *model_for(const Operands *operands, PyObject *number)
{
    const Array *model = NULL;
    for (int i = 0; i < operands->count; i++) {
        const Array *array = (const Array *)operands->items[i];
        if (!ARRAY_CHECK(array) || dtype_is_bool(array->dtype))
            continue;
        if ((model && model->dtype != array->dtype)
            || (array->weak && number_dtype(number) != array->dtype))
            return NULL;
        model = array;
    }
    return model && dtype_takes_number(model->dtype, number) ? model : NULL;
}

static Array *array_of_operand(const Operands *operands, PyObject *number)
{
    if (operands->count == 1)
        return array_of_number(number, number_dtype(number), !PyBool_Check(number));
    const Array *model = model_for(operands, number);
    return model ? array_of_number(number, model->dtype, true) : NULL;
}

static bool is_kept(const Operation *self, const Operands *operands, int i)
{
    int overflow = 1;
    if (self->keeps_integer && i == operands->count - 1 && PyLong_CheckExact(operands->items[i]))
        (void)PyLong_AsLongLongAndOverflow(operands->items[i], &overflow);
    return !overflow;
}

/* Whether all numbers could be made Arrays, or kept. */
static bool convert_numbers(const Operation *self, Operands *operands)
{
    if (operands->count > 1 && !operands->array_count)
        return false;
    for (int i = 0; i < operands->count; i++) {
        PyObject *operand = operands->items[i];
        if (ARRAY_CHECK(operand) || is_kept(self, operands, i))
            continue;
        Array *array = self->takes_numbers ? array_of_operand(operands, operand) : NULL;
        if (!array)
            return false;
        operands->items[i] = (PyObject *)array;
        operands->array_count++;
        Py_DECREF(operand);
    }
    return true;
}

/* ---- a call ---- */

static bool is_usable(const Array *array) { return array->data && !array->deleted; }

static PyObject *run(PyObject *executable, const Operands *operands)
{
    PyObject *result;
    int known = 0; /* those that the program takes, since it was installed for such */
    while (known < operands->array_count && is_usable((Array *)operands->items[known]))
        known++;
    Py_INCREF(executable); /* the table may be emptied meanwhile */
    int failed = execute(executable, operands->items, operands->array_count, known, &result, NULL);
    Py_DECREF(executable);
    return failed ? NULL : result;
}

static PyObject *call_unknown(Operation *self, const Operands *operands)
{
    PyObject *arguments[1 + MOST_OPERANDS] = {(PyObject *)self};
    memcpy(arguments + 1, operands->items, (size_t)operands->count * sizeof *arguments);
    return PyObject_Vectorcall(self->unknown, arguments, (size_t)operands->count + 1, NULL);
}

static PyObject *operation_call(Operation *self, PyObject *const *arguments, size_t flags,
                                PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (calling.recorder || names || count == 0 || count > MOST_OPERANDS)
        return PyObject_Vectorcall(self->function, arguments, flags, names);
    Operands operands;
    PyObject *result = NULL;
    bool taken = take_operands(&operands, arguments, count)
              && (operands.array_count == count || convert_numbers(self, &operands));
    if (taken) {
        Key key;
        make_key(&key, self, &operands);
        const Program *program = results_are_checked() ? NULL : find(&key);
        result = program ? run(program->executable, &operands) : NULL;
        if (!result && (!program || PyErr_ExceptionMatches(kernel_fault))) {
            PyErr_Clear(); /* it tells what a failed check means */
            result = call_unknown(self, &operands);
        }
        if (result == Py_NotImplemented) {
            Py_CLEAR(result);
            taken = false;
        }
    }
    drop_operands(&operands);
    if (taken || clear_error() < 0)
        return result;
    return PyObject_Vectorcall(self->function, arguments, flags, names);
}

/* ---- installing ---- */

static PyObject *operation_install(Operation *self, PyObject *args)
{
    PyObject *given, *executable;
    if (!PyArg_ParseTuple(args, "O!O:install", &PyTuple_Type, &given, &executable))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(given);
    Operands operands;
    bool fits = count > 0 && count <= MOST_OPERANDS && is_executable(executable)
             && executable_outputs(executable) == 1;
    if (fits) {
        fits = take_operands(&operands, &PyTuple_GET_ITEM(given, 0), count)
            && (operands.array_count == count || convert_numbers(self, &operands));
        Key key;
        int failed = 0;
        fits = fits && executable_takes(executable, operands.items, operands.array_count);
        if (fits) {
            make_key(&key, self, &operands);
            failed = keep(&key, executable);
        }
        drop_operands(&operands);
        if (failed)
            return NULL;
    }
    if (!fits) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "install needs operands that the Operation takes, "
                            "and an Executable for such with one result");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *forget_operations(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    forget_all();
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static PyObject *operation_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"function", "unknown", "takes_numbers", "keeps_integer", NULL};
    PyObject *function, *unknown;
    int takes_numbers = true, keeps_integer = false;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|pp:Operation", names, &function, &unknown,
                                     &takes_numbers, &keeps_integer))
        return NULL;
    Operation *self = (Operation *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = (vectorcallfunc)operation_call;
    self->function = Py_NewRef(function);
    self->unknown = Py_NewRef(unknown);
    self->number = operation_count++;
    self->takes_numbers = takes_numbers;
    self->keeps_integer = keeps_integer;
    return (PyObject *)self;
}

static int operation_clear(Operation *self)
{
    Py_CLEAR(self->function);
    Py_CLEAR(self->unknown);
    return 0;
}

static int operation_traverse(Operation *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    Py_VISIT(self->unknown);
    return 0;
}

static void operation_dealloc(Operation *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    operation_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *ask_function(PyObject *self, void *name)
{
    return PyObject_GetAttrString(((Operation *)self)->function, name);
}

static PyObject *operation_repr(PyObject *self)
{
    PyObject *name = ask_function(self, "__qualname__");
    PyObject *module = name ? ask_function(self, "__module__") : NULL;
    PyObject *text = module ? PyUnicode_FromFormat("<operation %S.%S>", module, name) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(module);
    return text;
}

/* By its name, as functions are pickled. */
static PyObject *operation_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ask_function(self, "__qualname__");
}

static PyMethodDef operation_methods[] = {
    {"install", (PyCFunction)operation_install, METH_VARARGS,
     "install(operands, executable): run this program for operands of these types."},
    {"__reduce__", operation_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef operation_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Operation, vectorcall), READONLY, NULL},
    {"__wrapped__", T_OBJECT, offsetof(Operation, function), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef operation_attributes[] = {
    {"__name__", ask_function, NULL, NULL, "__name__"},
    {"__qualname__", ask_function, NULL, NULL, "__qualname__"},
    {"__module__", ask_function, NULL, NULL, "__module__"},
    {"__doc__", ask_function, NULL, NULL, "__doc__"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_new, operation_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_getset, operation_attributes},
    {Py_tp_descr_get, bind_as_method},
    {Py_tp_repr, operation_repr},
    {Py_tp_methods, operation_methods},
    {Py_tp_members, operation_members},
    {0, NULL},
};

int eager_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Operation",
        .basicsize = sizeof(Operation),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
               | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_BASETYPE,
        .slots = operation_slots,
    };
    OperationType = (PyTypeObject *)PyType_FromSpec(&spec);
    return OperationType ? PyModule_AddObjectRef(module, "Operation", (PyObject *)OperationType)
                         : -1;
}
