/* Dispatcher: a callable whose calls find their compiled program by the types of their arguments.
 *
 * In: programs (Callees), installed by whoever traces and compiles; a call that finds none goes to the
 * method `miss`. Out: results of programs. A hit touches no Python code unless a program depends
 * on Python values, or an argument or result has a registered container.
 * Must not know how a function is traced, nor what a program computes.
 */
#include "dispatch.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Statics statics;
    RecordTable records;
    int threads; /* that its programs may use; 0: as many as those of others */
} Dispatcher;

static PyTypeObject *DispatcherType;
static PyObject *name_miss;

/* ---- a call ---- */

static PyObject *call_miss(Dispatcher *self, PyObject *const *arguments, Py_ssize_t count,
                           PyObject *names)
{
    PyObject *positional = PyTuple_New(count), *named = PyDict_New(), *result = NULL;
    for (Py_ssize_t i = 0; positional && i < count; i++)
        PyTuple_SET_ITEM(positional, i, Py_NewRef(arguments[i]));
    bool ready = positional && named;
    for (Py_ssize_t i = 0; ready && names && i < PyTuple_GET_SIZE(names); i++)
        ready = PyDict_SetItem(named, PyTuple_GET_ITEM(names, i), arguments[count + i]) == 0;
    if (ready)
        result = PyObject_CallMethodObjArgs((PyObject *)self, name_miss, positional, named, NULL);
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return result;
}

/* A call that has matched the latest record. */
typedef struct {
    PyObject *leaves[FEW]; /* borrowed; then what a run adds */
    Callee *callee;        /* borrowed */
    int leaf_count, known;
} Latest;

/* Whether the call is one of the latest record, which the first of its callees can run. No Python
 * code runs. */
static bool match_latest(const Dispatcher *self, Latest *latest, PyObject *const *arguments,
                         Py_ssize_t count, PyObject *names)
{
    Record *record = self->records.latest;
    bool are_at_hand;
    if (!record || !record->is_matchable || !PyList_GET_SIZE(record->callees))
        return false;
    PyObject *first = PyList_GET_ITEM(record->callees, 0);
    Callee *callee = latest->callee = (Callee *)first;
    if (!is_callee(first) || record->leaf_count + callee->tree.leaf_count > FEW
        || !match_call(record->words, record->objects, record->place, arguments, count, names,
                       latest->leaves, &are_at_hand))
        return false;
    latest->leaf_count = record->leaf_count;
    if (record->fitting != callee->number
        && executable_takes(callee->executable, latest->leaves, latest->leaf_count))
        record->fitting = callee->number;
    latest->known = are_at_hand && record->fitting == callee->number ? record->leaf_count : 0;
    return true;
}

/* The commonest call: Arrays, for the latest program, and nothing that it read has changed. NULL
 * without an error if it is not one; no Python code runs before the call has matched. */
static PyObject *call_latest(Dispatcher *self, PyObject *const *arguments, Py_ssize_t count,
                             PyObject *names)
{
    Latest latest;
    bool is_quiet;
    if (!match_latest(self, &latest, arguments, count, names))
        return NULL;
    Callee *callee = (Callee *)Py_NewRef(latest.callee);
    PyObject *hidden = callee_hidden_now(callee, &is_quiet), *result = NULL;
    /* What was no quiet look may have changed anything. */
    bool holds = hidden && (is_quiet || (match_latest(self, &latest, arguments, count, names)
                                         && latest.callee == callee));
    if (holds && latest.leaf_count + PyTuple_GET_SIZE(hidden) + callee->tree.leaf_count <= FEW)
        result = callee_run(callee, latest.leaves, latest.leaf_count, latest.known, hidden);
    Py_XDECREF(hidden);
    Py_DECREF(callee);
    return result;
}

static PyObject *call_any(Dispatcher *self, PyObject *const *arguments, Py_ssize_t count,
                          PyObject *names)
{
    Signature s;
    signature_begin(&s, false);
    Record *record = NULL;
    if (signature_of_call(&s, &self->statics, arguments, count, names) == 0)
        record = records_find(&self->records, &s);
    PyObject *result = NULL;
    bool done = !record && clear_error() < 0;
    if (record) {
        result = run_first(record, &s);
        done = result || PyErr_Occurred();
        record_drop(record);
    }
    signature_end(&s);
    return done ? result : call_miss(self, arguments, count, names);
}

static PyObject *dispatcher_call(Dispatcher *self, PyObject *const *arguments, size_t flags,
                                 PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (!self->records.record_count || calling.recorder || calling.is_off
        || results_are_checked())
        return call_miss(self, arguments, count, names);
    PyObject *result = call_latest(self, arguments, count, names);
    if (result || PyErr_Occurred())
        return result;
    return call_any(self, arguments, count, names);
}

static PyObject *dispatcher_call_on_threads(Dispatcher *self, PyObject *const *arguments,
                                            size_t flags, PyObject *names)
{
    int before = pool_scope_threads(self->threads);
    PyObject *result = dispatcher_call(self, arguments, flags, names);
    pool_scope_threads(before);
    return result;
}

/* ---- installing ---- */

static int walk_given(Signature *s, const Statics *statics, PyObject *args, PyObject *keywords)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args), at = 0, seen = 0;
    Py_ssize_t named = PyDict_GET_SIZE(keywords);
    PyObject *names = PyTuple_New(named), *key, *value;
    PyObject **values = PyMem_Malloc((size_t)(count + named + 1) * sizeof *values);
    int failed = names && values ? 0 : -1;
    for (Py_ssize_t i = 0; i < count && !failed; i++)
        values[i] = PyTuple_GET_ITEM(args, i);
    while (!failed && PyDict_Next(keywords, &at, &key, &value)) {
        values[count + seen] = value;
        PyTuple_SET_ITEM(names, seen++, Py_NewRef(key));
    }
    if (!failed)
        failed = signature_of_call(s, statics, values, count, names);
    PyMem_Free(values);
    Py_XDECREF(names);
    return failed;
}

/* Whether the walk has found the leaves that others have, in the order that they count in. */
static bool has_leaves(const Signature *s, PyObject *leaves)
{
    if (PyList_GET_SIZE(leaves) != s->leaf_count)
        return false;
    for (int i = 0; i < s->leaf_count; i++) {
        PyObject *own = s->leaves[s->order[i]], *other = PyList_GET_ITEM(leaves, i);
        if (own != other && ARRAY_CHECK(other))
            return false;
    }
    return true;
}

static bool *read_donated(const Signature *s, PyObject *leaves, PyObject *donated)
{
    bool *flags = PyMem_Calloc((size_t)s->leaf_count + 1, sizeof *flags);
    if (!flags)
        return (bool *)PyErr_NoMemory();
    for (int i = 0; i < s->leaf_count && i < PyList_GET_SIZE(donated); i++) {
        int truth = PyObject_IsTrue(PyList_GET_ITEM(donated, i));
        if (truth < 0) {
            PyMem_Free(flags);
            return NULL;
        }
        flags[i] = truth && ARRAY_CHECK(PyList_GET_ITEM(leaves, i));
    }
    return flags;
}

static int install(Dispatcher *self, Signature *s, PyObject *leaves, PyObject *donated,
                   PyObject *callees)
{
    uint64_t hash;
    if (signature_hash(s, &hash) < 0)
        return -1;
    Record *known = records_search(&self->records, s, hash);
    if (known) { /* its callees may be new */
        Py_SETREF(known->callees, Py_NewRef(callees));
        record_drop(known);
        return 0;
    }
    if (PyErr_Occurred())
        return -1;
    bool *flags = donated == Py_None ? NULL : read_donated(s, leaves, donated);
    if (!flags && donated != Py_None)
        return -1;
    return records_add(&self->records, s, hash, callees, flags);
}

static PyObject *dispatcher_install(Dispatcher *self, PyObject *args)
{
    PyObject *given, *keywords, *leaves, *donated, *callees;
    if (!PyArg_ParseTuple(args, "O!O!O!OO!:install", &PyTuple_Type, &given, &PyDict_Type,
                          &keywords, &PyList_Type, &leaves, &donated, &PyList_Type, &callees))
        return NULL;
    if (donated != Py_None && !PyList_Check(donated)) {
        PyErr_SetString(PyExc_TypeError, "install: donated must be a list or None");
        return NULL;
    }
    Signature s;
    signature_begin(&s, true);
    bool installed = walk_given(&s, &self->statics, given, keywords) == 0 && has_leaves(&s, leaves)
                  && install(self, &s, leaves, donated, callees) == 0;
    signature_end(&s);
    if (!installed && clear_error() < 0)
        return NULL;
    return PyBool_FromLong(installed);
}

static PyObject *dispatcher_forget(Dispatcher *self, PyObject *unused)
{
    (void)unused;
    records_forget(&self->records);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int read_statics(Statics *statics, PyObject *numbers, PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(numbers);
    if (PyTuple_GET_SIZE(names))
        statics->names = Py_NewRef(names);
    if (!count)
        return 0;
    statics->numbers = PyMem_Calloc((size_t)count, sizeof *statics->numbers);
    if (!statics->numbers) {
        PyErr_NoMemory();
        return -1;
    }
    statics->number_count = (int)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        statics->numbers[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(numbers, i));
        if (statics->numbers[i] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *dispatcher_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args, (void)keywords;
    Dispatcher *self = (Dispatcher *)type->tp_alloc(type, 0);
    if (self)
        self->vectorcall = (vectorcallfunc)dispatcher_call;
    return (PyObject *)self;
}

static int dispatcher_init(Dispatcher *self, PyObject *args, PyObject *keywords)
{
    static char *argument_names[] = {"static_numbers", "static_names", "threads", NULL};
    PyObject *numbers = NULL, *names = NULL, *threads = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!|O:Dispatcher", argument_names,
                                     &PyTuple_Type, &numbers, &PyTuple_Type, &names, &threads))
        return -1;
    int limit = threads == Py_None ? 0 : checked_threads(threads);
    if (limit < 0)
        return -1;
    if (self->statics.numbers || self->statics.names) {
        PyErr_SetString(PyExc_RuntimeError, "a Dispatcher is initialised once");
        return -1;
    }
    if (limit) {
        self->threads = limit;
        self->vectorcall = (vectorcallfunc)dispatcher_call_on_threads;
    }
    return read_statics(&self->statics, numbers, names);
}

static int dispatcher_clear(Dispatcher *self)
{
    records_forget(&self->records);
    Py_CLEAR(self->statics.names);
    return 0;
}

static int dispatcher_traverse(Dispatcher *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->statics.names);
    for (size_t i = 0; i < self->records.slot_count; i++) {
        const Record *record = self->records.slots[i];
        if (!record || record->references > 1 + (record == self->records.latest))
            continue; /* a call uses it: what it refers to is alive */
        Py_VISIT(record->callees);
        for (int k = 0; k < record->object_count; k++)
            Py_VISIT(record->objects[k]);
    }
    return 0;
}

static void dispatcher_dealloc(Dispatcher *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    dispatcher_clear(self);
    PyMem_Free(self->statics.numbers);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Before 3.12, classes made in Python do not inherit the fast call. */
static PyObject *init_subclass(PyObject *class, PyObject *args, PyObject *keywords)
{
    PyTypeObject *type = (PyTypeObject *)class;
    if (PyTuple_GET_SIZE(args) || (keywords && PyDict_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "a subclass of Dispatcher takes no arguments");
        return NULL;
    }
    if (type->tp_call == DispatcherType->tp_call
        && type->tp_descr_get == DispatcherType->tp_descr_get)
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
    Py_RETURN_NONE;
}

static PyMethodDef dispatcher_methods[] = {
    {"install", (PyCFunction)dispatcher_install, METH_VARARGS,
     "install(args, kwargs, leaves, donated, callees): run these callees for calls like this "
     "one; whether that is possible."},
    {"forget", (PyCFunction)dispatcher_forget, METH_NOARGS, "Forget what was installed."},
    {"__init_subclass__", (PyCFunction)(void (*)(void))init_subclass,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef dispatcher_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Dispatcher, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot dispatcher_slots[] = {
    {Py_tp_doc, "A callable whose calls find their compiled program by the types of arguments."},
    {Py_tp_new, dispatcher_new},
    {Py_tp_init, dispatcher_init},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, dispatcher_dealloc},
    {Py_tp_traverse, dispatcher_traverse},
    {Py_tp_clear, dispatcher_clear},
    {Py_tp_descr_get, bind_as_method},
    {Py_tp_methods, dispatcher_methods},
    {Py_tp_members, dispatcher_members},
    {0, NULL},
};

int dispatch_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Dispatcher",
        .basicsize = sizeof(Dispatcher),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
               | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
        .slots = dispatcher_slots,
    };
    name_miss = interned("miss");
    DispatcherType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!name_miss || !DispatcherType || signature_setup() < 0 || guard_setup(module) < 0
        || callee_setup(module) < 0)
        return -1;
    numbers_setup();
    return PyModule_AddObjectRef(module, "Dispatcher", (PyObject *)DispatcherType);
}
