/* Operators on arrays at hand: one look-up leads from the types of the operands to a program.
 *
 * In: programs, installed by whoever compiles them, for an operator and Arrays of given types. Out:
 * results. A Python number stands for a weak 0-d Array of the other operand's dtype, where that
 * takes the number without changing its kind, and the program was installed for numbers too.
 * Must not know what an operator means.
 */
#include "core.h"

#define MOST_OPERATIONS 4096
#define MOST_WORDS (1 + 2 * (1 + MAX_DIMENSIONS))

typedef struct {
    uint64_t words[MOST_WORDS];
    uint64_t hash;
    int count;
} Key;

typedef struct {
    uint64_t hash;
    uint64_t *words; /* NULL: a free slot */
    int count;
    bool takes_numbers;
    PyObject *executable;
} Operation;

static Operation *operations; /* open addressing; the size is a power of two */
static size_t slot_count, operation_count;

/* ---- keys ---- */

static void add_to_key(Key *key, uint64_t word)
{
    key->words[key->count++] = word;
    key->hash = (key->hash ^ word) * 0xff51afd7ed558ccdu;
    key->hash ^= key->hash >> 32;
}

static void key_begin(Key *key, int number)
{
    key->count = 0;
    key->hash = 0x9e3779b97f4a7c15u;
    add_to_key(key, (uint64_t)number << 1 | numbers_are_wide());
}

static void add_operand(Key *key, const Array *array)
{
    add_to_key(key, array_word(array));
    for (int i = 0; i < array->dimensions; i++)
        add_to_key(key, (uint64_t)array->shape[i]);
}

/* ---- the table ---- */

static Operation *find(const Key *key)
{
    for (size_t at = key->hash; slot_count; at++) {
        Operation *operation = &operations[at & (slot_count - 1)];
        if (!operation->words)
            return NULL;
        if (operation->hash == key->hash && operation->count == key->count
            && memcmp(operation->words, key->words, (size_t)key->count * sizeof *key->words) == 0)
            return operation;
    }
    return NULL;
}

void forget_operations(void)
{
    Operation *old = operations;
    size_t count = slot_count;
    operations = NULL;
    slot_count = operation_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (old[i].words) {
            PyMem_Free(old[i].words);
            Py_DECREF(old[i].executable);
        }
    }
    PyMem_Free(old);
}

static void place(Operation *slots, size_t count, Operation operation)
{
    size_t at = operation.hash & (count - 1);
    while (slots[at].words)
        at = (at + 1) & (count - 1);
    slots[at] = operation;
}

static int make_room(void)
{
    if (operation_count >= MOST_OPERATIONS)
        forget_operations();
    if (operation_count * 2 < slot_count)
        return 0;
    size_t count = slot_count ? slot_count * 2 : 64;
    Operation *larger = PyMem_Calloc(count, sizeof *larger);
    if (!larger) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < slot_count; i++)
        if (operations[i].words)
            place(larger, count, operations[i]);
    PyMem_Free(operations);
    operations = larger;
    slot_count = count;
    return 0;
}

static int keep(const Key *key, PyObject *executable, bool takes_numbers)
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
    Operation operation = {key->hash, words, key->count, takes_numbers, Py_NewRef(executable)};
    place(operations, slot_count, operation);
    operation_count++;
    return 0;
}

/* ---- operators ---- */

/* A Python number beside an Array as an Array; NULL if that is not what it is, or does not fit. */
static Array *operand_of_number(PyObject *number, const Array *other)
{
    if (!dtype_takes_number(other->dtype, number)
        || (other->weak && number_dtype(number) != other->dtype))
        return NULL;
    return array_of_number(number, other->dtype, true);
}

static PyObject *run(PyObject *executable, PyObject *const *operands, Py_ssize_t count)
{
    PyObject *result;
    Py_INCREF(executable); /* the table may be emptied meanwhile */
    int failed = execute(executable, operands, count, &result);
    Py_DECREF(executable);
    return failed ? NULL : result;
}

PyObject *eager_unary(int number, PyObject *operand)
{
    if (calling.recorder || !slot_count)
        return NULL;
    Key key;
    key_begin(&key, number);
    add_operand(&key, (Array *)operand);
    const Operation *found = find(&key);
    return found ? run(found->executable, &operand, 1) : NULL;
}

PyObject *eager_binary(int number, PyObject *left, PyObject *right)
{
    if (calling.recorder || !slot_count)
        return NULL;
    Array *made = NULL;
    if (!ARRAY_CHECK(right))
        right = (PyObject *)(made = operand_of_number(right, (Array *)left));
    else if (!ARRAY_CHECK(left))
        left = (PyObject *)(made = operand_of_number(left, (Array *)right));
    if (!left || !right)
        return NULL;
    Key key;
    key_begin(&key, number);
    add_operand(&key, (Array *)left);
    add_operand(&key, (Array *)right);
    const Operation *found = find(&key);
    PyObject *operands[] = {left, right}, *result = NULL;
    if (found && (!made || found->takes_numbers))
        result = run(found->executable, operands, 2);
    Py_XDECREF(made);
    return result;
}

PyObject *install_operation(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    PyObject *operands, *executable;
    int takes_numbers;
    if (!PyArg_ParseTuple(args, "sO!Op:install_operation", &name, &PyTuple_Type, &operands,
                          &executable, &takes_numbers))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(operands);
    int number = operator_number(name);
    bool fits = number >= 0 && (count == 1 || count == 2) && is_executable(executable)
             && executable_outputs(executable) == 1;
    for (Py_ssize_t i = 0; i < count; i++)
        fits &= ARRAY_CHECK(PyTuple_GET_ITEM(operands, i));
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "install_operation needs the name of an operator, one "
                        "or two Arrays, and an Executable with one result");
        return NULL;
    }
    Key key;
    key_begin(&key, number);
    for (Py_ssize_t i = 0; i < count; i++)
        add_operand(&key, (Array *)PyTuple_GET_ITEM(operands, i));
    if (keep(&key, executable, takes_numbers) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *forget_operations_function(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    forget_operations();
    Py_RETURN_NONE;
}
