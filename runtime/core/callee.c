/* Callee: a program with the structure of its result and its hidden inputs.
 *
 * In: leaves of a call's arguments. Out: the result as a tree, or the exception that a failed check
 * stands for. Must not know how a call finds its program.
 */
#include "dispatch.h"

#include <structmember.h>

static PyTypeObject *CalleeType;
static uint64_t callee_count;

/* ---- one program ---- */

static int callee_clear(Callee *self)
{
    Py_CLEAR(self->executable);
    Py_CLEAR(self->constants);
    Py_CLEAR(self->fetch);
    Py_CLEAR(self->explain);
    tree_clear(&self->tree);
    return 0;
}

static int callee_traverse(Callee *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->executable);
    Py_VISIT(self->constants);
    Py_VISIT(self->fetch);
    Py_VISIT(self->explain);
    return tree_traverse(&self->tree, visit, arg);
}

static void callee_dealloc(Callee *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    callee_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static int check_callee(const Callee *self)
{
    if (!is_executable(self->executable)) {
        PyErr_SetString(PyExc_TypeError, "a Callee needs an Executable");
        return -1;
    }
    if (self->tree.leaf_count != executable_outputs(self->executable)) {
        PyErr_Format(PyExc_ValueError, "a tree of %d leaves for %d results",
                     self->tree.leaf_count, executable_outputs(self->executable));
        return -1;
    }
    return 0;
}

static PyObject *callee_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"executable", "structure", "constants", "fetch", "explain", NULL};
    PyObject *executable, *structure, *constants, *fetch = Py_None, *explain = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OO:Callee", names, &executable,
                                     &structure, &constants, &fetch, &explain))
        return NULL;
    Callee *self = (Callee *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->number = ++callee_count;
    self->executable = Py_NewRef(executable);
    self->fetch = fetch == Py_None ? NULL : Py_NewRef(fetch);
    self->explain = explain == Py_None ? NULL : Py_NewRef(explain);
    self->constants = PySequence_Tuple(constants);
    if (!self->constants || tree_read(&self->tree, structure) < 0 || check_callee(self) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* ---- a run ---- */

/* A new tuple or list of the hidden inputs; None if the program does not hold now. */
static PyObject *hidden_inputs(Callee *callee)
{
    if (!callee->fetch)
        return Py_NewRef(callee->constants);
    PyObject *found = PyObject_CallNoArgs(callee->fetch);
    if (found && found != Py_None && !PyList_CheckExact(found) && !PyTuple_CheckExact(found)) {
        PyErr_SetString(PyExc_TypeError, "fetch of a Callee must give a list, a tuple or None");
        Py_CLEAR(found);
    }
    return found;
}

/* The KernelFault that is set becomes the exception that tells what it means. */
static void explain_failure(PyObject *explain)
{
    if (!explain || !PyErr_ExceptionMatches(kernel_fault))
        return;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *told = value ? PyObject_CallOneArg(explain, value) : NULL;
    if (told)
        PyErr_SetObject((PyObject *)Py_TYPE(told), told);
    Py_XDECREF(told);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

/* Donated arrays are deleted; a result that is one of them gets a header of its own before. */
static int give_away(const Callee *callee, const Record *record, PyObject *const *arguments,
                     PyObject **results)
{
    for (int i = 0; i < callee->tree.leaf_count; i++) {
        if (!executable_forwards(callee->executable, i))
            continue;
        for (int k = 0; k < record->leaf_count; k++) {
            if (!record->donated[k] || arguments[k] != results[i])
                continue;
            Array *array = (Array *)results[i];
            PyObject *own = array_share(array, array->dimensions, array->shape, array->weak);
            if (!own)
                return -1;
            Py_SETREF(results[i], own);
            break;
        }
    }
    for (int k = 0; k < record->leaf_count; k++)
        if (record->donated[k])
            array_delete((Array *)arguments[k]);
    return 0;
}

static PyObject *run_on(Callee *callee, const Record *record, PyObject *const *arguments,
                        Py_ssize_t count, PyObject **results)
{
    if (execute(callee->executable, arguments, count, 0, results, callee->explain) < 0) {
        explain_failure(callee->explain);
        return NULL;
    }
    if (record->donated && give_away(callee, record, arguments, results) < 0) {
        for (int i = 0; i < callee->tree.leaf_count; i++)
            Py_DECREF(results[i]);
        return NULL;
    }
    return tree_build(&callee->tree, results);
}

static PyObject *run(Callee *callee, const Record *record, const Signature *s, PyObject *hidden)
{
    Py_ssize_t hidden_count = PySequence_Fast_GET_SIZE(hidden);
    Py_ssize_t count = s->leaf_count + hidden_count;
    Py_ssize_t total = count + callee->tree.leaf_count;
    PyObject *local[FEW], **arguments = local;
    if (total > FEW) {
        arguments = PyMem_Malloc((size_t)total * sizeof *arguments);
        if (!arguments)
            return PyErr_NoMemory();
    }
    for (int i = 0; i < s->leaf_count; i++)
        arguments[i] = s->leaves[record->order ? record->order[i] : i];
    if (hidden_count)
        memcpy(arguments + s->leaf_count, PySequence_Fast_ITEMS(hidden),
               (size_t)hidden_count * sizeof *arguments);
    PyObject *result = run_on(callee, record, arguments, count, arguments + count);
    if (arguments != local)
        PyMem_Free(arguments);
    return result;
}

PyObject *run_first(const Record *record, const Signature *s)
{
    PyObject *callees = record->callees;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callees); i++) {
        Callee *callee = (Callee *)Py_NewRef(PyList_GET_ITEM(callees, i));
        PyObject *result = NULL, *hidden = NULL;
        if (is_callee((PyObject *)callee))
            hidden = hidden_inputs(callee);
        else
            PyErr_SetString(PyExc_TypeError, "the callees of a Dispatcher must be Callees");
        bool holds = hidden && hidden != Py_None;
        if (holds)
            result = run(callee, record, s, hidden);
        Py_XDECREF(hidden);
        Py_DECREF(callee);
        if (holds || !hidden)
            return result;
    }
    return NULL;
}

PyObject *callee_hidden_now(const Callee *callee, bool *is_quiet)
{
    *is_quiet = true;
    if (!callee->fetch)
        return Py_NewRef(callee->constants);
    return is_guard(callee->fetch) ? guard_now(callee->fetch, is_quiet) : NULL;
}

PyObject *callee_run(Callee *callee, PyObject **leaves, int leaf_count, int known,
                     PyObject *hidden)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(hidden); i++)
        leaves[leaf_count++] = PyTuple_GET_ITEM(hidden, i);
    PyObject **results = leaves + leaf_count;
    if (execute(callee->executable, leaves, leaf_count, known, results, callee->explain) == 0)
        return tree_build(&callee->tree, results);
    explain_failure(callee->explain);
    return NULL;
}

/* ---- the type ---- */

bool is_callee(PyObject *object) { return Py_TYPE(object) == CalleeType; }

static PyMemberDef callee_members[] = {
    {"executable", T_OBJECT, offsetof(Callee, executable), READONLY, "What runs."},
    {"constants", T_OBJECT, offsetof(Callee, constants), READONLY,
     "Its inputs after the arguments."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot callee_slots[] = {
    {Py_tp_doc, "An Executable, the structure of its result, and its hidden inputs."},
    {Py_tp_new, callee_new},
    {Py_tp_dealloc, callee_dealloc},
    {Py_tp_traverse, callee_traverse},
    {Py_tp_clear, callee_clear},
    {Py_tp_members, callee_members},
    {0, NULL},
};

int callee_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Callee",
        .basicsize = sizeof(Callee),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = callee_slots,
    };
    CalleeType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!CalleeType || tree_setup() < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Callee", (PyObject *)CalleeType);
}
