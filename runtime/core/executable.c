/* Executable: a plan bound to loaded kernels and host functions.
 *
 * In: a plan, addresses of kernels, functions. Out: an object that runs the plan's tables on Arrays,
 * counts the time that its runs or their steps take if asked, and exchanges kernels for better ones.
 * A delegate, a function of a tuple of Arrays and `explain`, may run the whole plan instead: it gives
 * the results as a sequence, whose elements need not be there yet.
 * Must not know how tables are run.
 */
#include "core.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    Tables tables;
    PyObject *plan, *keepalive, *functions, *delegate, *weak_references;
    bool is_watched;
    uint32_t sampled; /* runs of a simple program while it was watched: some of them are timed */
    int64_t busy_ns;  /* spent in runs while it was watched */
    StepTime *times; /* once asked for; runs note them while the tables point there, too */
} Executable;

enum { SAMPLE = 16 }; /* of so many runs of a simple program one is timed, and counts for all */

static PyTypeObject *ExecutableType;
static PyObject *check_plan;

/* ---- runs ---- */

static int take_results(const Tables *tables, PyObject *found, PyObject **results)
{
    PyObject *sequence = PySequence_Fast(found, "a delegate must give a sequence of Arrays");
    bool fits = sequence && PySequence_Fast_GET_SIZE(sequence) == tables->output_count;
    for (int i = 0; fits && i < tables->output_count; i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, i);
        fits = ARRAY_CHECK(item) && array_fits(&tables->outputs[i], (Array *)item);
    }
    for (int i = 0; fits && i < tables->output_count; i++)
        results[i] = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
    Py_XDECREF(sequence);
    if (!fits && !PyErr_Occurred())
        PyErr_SetString(PyExc_SystemError, "a delegate has given other results than the plan's");
    return fits ? 0 : -1;
}

static int run_delegate(Executable *self, PyObject *const *given, Py_ssize_t count,
                        Py_ssize_t known, PyObject **results, PyObject *explain)
{
    if (check_arguments(&self->tables, given, count, known) < 0)
        return -1;
    PyObject *arguments = PyTuple_New(count);
    for (Py_ssize_t i = 0; arguments && i < count; i++)
        PyTuple_SET_ITEM(arguments, i, Py_NewRef(given[i]));
    PyObject *both[] = {arguments, explain ? explain : Py_None};
    PyObject *found = arguments ? PyObject_Vectorcall(self->delegate, both, 2, NULL) : NULL;
    int failed = found ? take_results(&self->tables, found, results) : -1;
    Py_XDECREF(found);
    Py_XDECREF(arguments);
    return failed;
}

static inline int run(Executable *self, PyObject *const *given, Py_ssize_t count,
                      Py_ssize_t known, PyObject **results, PyObject *explain)
{
    return self->delegate ? run_delegate(self, given, count, known, results, explain)
                          : run_tables(&self->tables, given, count, known, results);
}

int execute(PyObject *executable, PyObject *const *given, Py_ssize_t count, Py_ssize_t known,
            PyObject **results, PyObject *explain)
{
    Executable *self = (Executable *)executable;
    bool is_simple = self->tables.is_simple;
    bool is_watched = self->is_watched && (!is_simple || self->sampled++ % SAMPLE == 0);
    if (!is_watched && !is_recording)
        return run(self, given, count, known, results, explain);
    int64_t begin = now_ns();
    int code = run(self, given, count, known, results, explain);
    int64_t end = now_ns();
    if (is_watched)
        self->busy_ns += (end - begin) * (is_simple ? SAMPLE : 1);
    if (is_recording)
        record_span(executable, begin, end, 0);
    return code;
}

bool executable_takes(PyObject *executable, PyObject *const *given, Py_ssize_t count)
{
    const Tables *tables = &((Executable *)executable)->tables;
    bool fits = count <= tables->input_count;
    for (Py_ssize_t i = 0; fits && i < count; i++)
        fits = array_fits(&tables->inputs[i], (Array *)given[i]);
    return fits;
}

bool is_executable(PyObject *object) { return PyObject_TypeCheck(object, ExecutableType); }

int executable_outputs(PyObject *executable)
{
    return ((Executable *)executable)->tables.output_count;
}

bool executable_forwards(PyObject *executable, int output)
{
    const Tables *tables = &((Executable *)executable)->tables;
    while (tables->duplicates[output] >= 0)
        output = (int)tables->duplicates[output];
    return tables->forward[output] >= 0;
}

static PyObject *executable_run(Executable *self, PyObject *args)
{
    PyObject *arguments, *explain = NULL;
    if (!PyArg_UnpackTuple(args, "run", 1, 2, &arguments, &explain))
        return NULL;
    PyObject *sequence = PySequence_Fast(arguments, "run needs a sequence of Arrays");
    int count = self->tables.output_count;
    PyObject **found = sequence ? PyMem_Malloc((size_t)(count + 1) * sizeof *found) : NULL;
    PyObject *results = NULL;
    if (sequence && !found)
        PyErr_NoMemory();
    /* The tuple first: once the results are there, nothing may fail. */
    if (found)
        results = PyTuple_New(count);
    if (results && execute((PyObject *)self, PySequence_Fast_ITEMS(sequence),
                           PySequence_Fast_GET_SIZE(sequence), 0, found, explain) < 0)
        Py_CLEAR(results);
    for (int i = 0; results && i < count; i++)
        PyTuple_SET_ITEM(results, i, found[i]);
    PyMem_Free(found);
    Py_XDECREF(sequence);
    return results;
}

/* ---- better kernels ---- */

static PyObject *executable_watch(Executable *self, PyObject *wanted)
{
    int is_wanted = PyObject_IsTrue(wanted);
    if (is_wanted < 0)
        return NULL;
    self->is_watched = is_wanted;
    Py_RETURN_NONE;
}

/* A run in another thread meets either address: both kernels compute the same, and both stay. */
static PyObject *executable_replace_kernel(Executable *self, PyObject *args)
{
    unsigned long long before, after;
    PyObject *owner;
    if (!PyArg_ParseTuple(args, "KKO:replace_kernel", &before, &after, &owner))
        return NULL;
    if (!after) {
        PyErr_SetString(PyExc_ValueError, "the address of a kernel is 0");
        return NULL;
    }
    PyObject *kept = self->keepalive ? self->keepalive : Py_None;
    PyObject *both = PyTuple_Pack(2, kept, owner);
    if (!both)
        return NULL;
    Py_XSETREF(self->keepalive, both);
    Tables *tables = &self->tables;
    for (int i = 0; i < tables->step_count; i++) {
        Kernel *kernel = &tables->steps[i].kernel;
        if (*kernel == (Kernel)(uintptr_t)before)
            __atomic_store_n(kernel, (Kernel)(uintptr_t)after, __ATOMIC_RELEASE);
    }
    Py_RETURN_NONE;
}

/* ---- times of steps ---- */

/* A run in another thread may still add to times that nobody wants any more: they stay. */
static PyObject *executable_measure(Executable *self, PyObject *wanted)
{
    int is_wanted = PyObject_IsTrue(wanted);
    if (is_wanted < 0)
        return NULL;
    size_t count = (size_t)self->tables.step_count + 1;
    if (is_wanted && !self->times && !(self->times = PyMem_RawCalloc(count, sizeof(StepTime))))
        return PyErr_NoMemory();
    for (size_t i = 0; is_wanted && i < count; i++) {
        atomic_store(&self->times[i].calls, 0);
        atomic_store(&self->times[i].ns, 0);
    }
    self->tables.times = is_wanted ? self->times : NULL;
    Py_RETURN_NONE;
}

static PyObject *get_step_times(Executable *self, void *unused)
{
    (void)unused;
    Py_ssize_t count = self->times ? self->tables.step_count : 0;
    PyObject *rows = PyTuple_New(count);
    for (Py_ssize_t i = 0; rows && i < count; i++) {
        const StepTime *own = &self->times[i];
        PyObject *row = Py_BuildValue("LL", (long long)atomic_load(&own->calls),
                                      (long long)atomic_load(&own->ns));
        if (!row)
            Py_CLEAR(rows);
        else
            PyTuple_SET_ITEM(rows, i, row);
    }
    return rows;
}

/* ---- the type ---- */

static int executable_clear(Executable *self)
{
    Py_CLEAR(self->keepalive);
    Py_CLEAR(self->functions);
    Py_CLEAR(self->delegate);
    Py_CLEAR(self->plan);
    return 0;
}

static int executable_traverse(Executable *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->plan);
    Py_VISIT(self->keepalive);
    Py_VISIT(self->functions);
    Py_VISIT(self->delegate);
    return 0;
}

static void executable_dealloc(Executable *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak_references)
        PyObject_ClearWeakRefs((PyObject *)self);
    tables_clear(&self->tables);
    PyMem_RawFree(self->times);
    executable_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *executable_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"plan", "addresses", "keepalive", "host_functions", "delegate", NULL};
    PyObject *plan, *addresses, *keepalive = NULL, *functions = NULL, *delegate = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|OOO:Executable", names, &plan, &addresses,
                                     &keepalive, &functions, &delegate))
        return NULL;
    PyObject *list = PySequence_List(addresses);
    Executable *self = list ? (Executable *)type->tp_alloc(type, 0) : NULL;
    if (!self) {
        Py_XDECREF(list);
        return NULL;
    }
    self->plan = Py_NewRef(plan);
    self->keepalive = Py_XNewRef(keepalive);
    self->functions = functions ? PySequence_Tuple(functions) : PyTuple_New(0);
    self->delegate = delegate == Py_None ? NULL : Py_NewRef(delegate);
    PyObject *checked = NULL;
    if (self->functions)
        checked = PyObject_CallFunction(check_plan, "Onn", plan, PyList_GET_SIZE(list),
                                        PyTuple_GET_SIZE(self->functions));
    bool built = checked && tables_build(&self->tables, plan, list, self->functions) == 0;
    Py_XDECREF(checked);
    Py_DECREF(list);
    if (!built)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMethodDef executable_methods[] = {
    {"run", (PyCFunction)executable_run, METH_VARARGS,
     "run(arguments, explain=None): run the program on a sequence of Arrays and return its results "
     "as a tuple. `explain` is for a delegate."},
    {"watch", (PyCFunction)executable_watch, METH_O,
     "Count from now on the time that runs take, or do so no longer."},
    {"measure", (PyCFunction)executable_measure, METH_O,
     "Count from now on the calls of each step and the time they take, or do so no longer."},
    {"replace_kernel", (PyCFunction)executable_replace_kernel, METH_VARARGS,
     "Run the kernel at another address in place of one; `owner` keeps its code alive."},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_plan(Executable *self, void *unused)
{
    (void)unused;
    return Py_XNewRef(self->plan);
}

static PyObject *get_busy_ns(Executable *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(self->busy_ns);
}

static PyMemberDef executable_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Executable, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef executable_attributes[] = {
    {"plan", (getter)get_plan, NULL, "The plan it was made of.", NULL},
    {"busy_ns", (getter)get_busy_ns, NULL, "Nanoseconds spent in runs while it was watched.", NULL},
    {"step_times", (getter)get_step_times, NULL,
     "Calls and nanoseconds of each step since it was last measured; empty if it never was.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot executable_slots[] = {
    {Py_tp_doc, "A plan bound to loaded kernels and host functions."},
    {Py_tp_new, executable_new},
    {Py_tp_dealloc, executable_dealloc},
    {Py_tp_traverse, executable_traverse},
    {Py_tp_clear, executable_clear},
    {Py_tp_methods, executable_methods},
    {Py_tp_members, executable_members},
    {Py_tp_getset, executable_attributes},
    {0, NULL},
};

int executable_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Executable",
        .basicsize = sizeof(Executable),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = executable_slots,
    };
    check_plan = imported("jitml_runtime.plan", "check_plan");
    ExecutableType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!check_plan || !ExecutableType)
        return -1;
    return PyModule_AddObjectRef(module, "Executable", (PyObject *)ExecutableType);
}
