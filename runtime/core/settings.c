/* Functions of the module about what a process may use: threads and memory.
 *
 * In: numbers. Out: what the pool and the allocator hold now. Nothing is decided here.
 */
#include "core.h"

static PyObject *memory_stats(PyObject *module, PyObject *args, PyObject *keywords)
{
    (void)module;
    static char *names[] = {"reset_peak", NULL};
    int reset_peak = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|p:memory_stats", names, &reset_peak))
        return NULL;
    MemoryStats stats;
    block_stats(&stats, reset_peak);
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n}", "bytes_in_use", (Py_ssize_t)stats.bytes_in_use,
                         "peak_bytes", (Py_ssize_t)stats.peak_bytes, "cached_bytes",
                         (Py_ssize_t)stats.cached_bytes, "allocations",
                         (Py_ssize_t)stats.allocations, "live_arrays", live_arrays);
}

static PyObject *block_bytes(PyObject *module, PyObject *size_bytes)
{
    (void)module;
    size_t size = PyLong_AsSize_t(size_bytes);
    if (size > PY_SSIZE_T_MAX / 2) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_OverflowError, "no block is so large");
        return NULL;
    }
    return PyLong_FromSize_t(block_capacity(size));
}

static PyObject *release_cache(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromSize_t(block_trim());
}

static PyObject *set_memory_limit(PyObject *module, PyObject *size_bytes)
{
    (void)module;
    size_t limit = PyLong_AsSize_t(size_bytes);
    if (limit == (size_t)-1 && PyErr_Occurred())
        return NULL;
    block_set_limit(limit);
    Py_RETURN_NONE;
}

static PyObject *stored_arrays_list(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return list_stored_arrays();
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(pool_threads());
}

int checked_threads(PyObject *count)
{
    PyObject *threads = PyImport_ImportModule("jitml_runtime.threads");
    PyObject *checked = threads
        ? PyObject_CallMethod(threads, "check_thread_count", "O", count) : NULL;
    long number = checked ? PyLong_AsLong(checked) : -1;
    Py_XDECREF(checked);
    Py_XDECREF(threads);
    return (int)number;
}

static PyObject *set_num_threads(PyObject *module, PyObject *count)
{
    (void)module;
    int number = checked_threads(count);
    if (number < 1)
        return NULL;
    pool_set_threads(number);
    Py_RETURN_NONE;
}

static PyObject *scope_num_threads(PyObject *module, PyObject *count)
{
    (void)module;
    int number = count == Py_None ? 0 : checked_threads(count);
    if (number < 0)
        return NULL;
    int before = pool_scope_threads(number);
    return before ? PyLong_FromLong(before) : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"memory_stats", (PyCFunction)(void (*)(void))memory_stats, METH_VARARGS | METH_KEYWORDS,
     "memory_stats(reset_peak=False): what the allocator holds, in bytes and counts."},
    {"block_bytes", block_bytes, METH_O,
     "The bytes that the allocator takes for a block of so many bytes."},
    {"release_cache", release_cache, METH_NOARGS,
     "Return cached blocks to the system; the result is their size in bytes."},
    {"set_memory_limit", set_memory_limit, METH_O,
     "Tell the bytes of memory that this process may use; 0 is all that the machine has."},
    {"list_stored_arrays", stored_arrays_list, METH_NOARGS,
     "A list of the live Arrays that hold memory outside themselves."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "Threads that a parallel kernel may use."},
    {"set_num_threads", set_num_threads, METH_O, "Set the threads that parallel kernels use."},
    {"scope_num_threads", scope_num_threads, METH_O,
     "Set the threads for runs of this Python thread, None: as many as elsewhere; the result is "
     "what was set before."},
    {NULL, NULL, 0, NULL},
};

int settings_setup(PyObject *module) { return PyModule_AddFunctions(module, functions); }
