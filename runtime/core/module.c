/* The module jitml_runtime._core. */
#include "core.h"

#include <pthread.h>

PyObject *imported(const char *module_name, const char *name)
{
    PyObject *module = PyErr_Occurred() ? NULL : PyImport_ImportModule(module_name);
    PyObject *value = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return value;
}

PyObject *interned(const char *text)
{
    return PyErr_Occurred() ? NULL : PyUnicode_InternFromString(text);
}

PyObject *bind_as_method(PyObject *self, PyObject *instance, PyObject *owner)
{
    (void)owner;
    return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

/* What befalls a short way also befalls the long one; but Ctrl-C and the like must not be lost. */
int clear_error(void)
{
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return -1;
        PyErr_Clear();
    }
    return 0;
}

static PyObject *from_numpy(PyObject *module, PyObject *args, PyObject *keywords)
{
    (void)module;
    static char *names[] = {"source", "weak", "copy", NULL};
    PyObject *source;
    int weak = 0, copy = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|pp:from_numpy", names, &source, &weak,
                                     &copy))
        return NULL;
    return array_from_numpy(source, weak, copy);
}

static PyObject *empty(PyObject *module, PyObject *spec)
{
    (void)module;
    int64_t extents[MAX_DIMENSIONS];
    PyObject *dtype = PyObject_GetAttrString(spec, "dtype");
    PyObject *shape = dtype ? PyObject_GetAttrString(spec, "shape") : NULL;
    PyObject *weak = shape ? PyObject_GetAttrString(spec, "weak") : NULL;
    int code = weak ? dtype_code(dtype) : -1;
    int dimensions = code >= 0 ? shape_from_tuple(shape, extents) : -1;
    int is_weak = weak ? PyObject_IsTrue(weak) : -1;
    Py_XDECREF(weak);
    Py_XDECREF(shape);
    Py_XDECREF(dtype);
    if (dimensions < 0 || is_weak < 0)
        return NULL;
    return (PyObject *)array_new(code, dimensions, extents, is_weak);
}

static Array *checked_array(PyObject *object)
{
    if (ARRAY_CHECK(object))
        return (Array *)object;
    PyErr_Format(PyExc_TypeError, "expected an Array, not %.100s", Py_TYPE(object)->tp_name);
    return NULL;
}

static PyObject *to_numpy(PyObject *module, PyObject *object)
{
    (void)module;
    Array *array = checked_array(object);
    return array ? array_to_numpy(array) : NULL;
}

static PyObject *data_pointer(PyObject *module, PyObject *object)
{
    (void)module;
    Array *array = checked_array(object);
    void *data = array ? array_data(array) : NULL;
    return data ? PyLong_FromVoidPtr(data) : NULL;
}

static PyObject *share(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *shape;
    int weak;
    int64_t extents[MAX_DIMENSIONS], size;
    if (!PyArg_ParseTuple(args, "OOp:share", &object, &shape, &weak))
        return NULL;
    Array *array = checked_array(object);
    int dimensions = array && array_check(array) == 0 ? shape_from_tuple(shape, extents) : -1;
    if (dimensions < 0 || array_size(array->dtype, dimensions, extents, &size) < 0)
        return NULL;
    if (size != array->size) {
        PyErr_Format(PyExc_ValueError, "an array of %lld elements cannot have shape %R",
                     (long long)array->size, shape);
        return NULL;
    }
    return array_share(array, dimensions, extents, weak);
}

static PyMethodDef functions[] = {
    {"from_numpy", (PyCFunction)(void (*)(void))from_numpy, METH_VARARGS | METH_KEYWORDS,
     "from_numpy(source, weak=False, copy=True): an Array of a NumPy array or scalar."},
    {"from_dlpack", array_from_dlpack, METH_O, "An Array over what another library exports."},
    {"empty", empty, METH_O, "An Array of the given ArraySpec with undefined contents."},
    {"to_numpy", to_numpy, METH_O, "A read-only ndarray over an Array's memory."},
    {"data_pointer", data_pointer, METH_O, "The address of an Array's first element."},
    {"share", share, METH_VARARGS,
     "share(array, shape, weak): an Array over the same memory with another shape."},
    {"set_operators", set_operators, METH_O, "Install functions for Array's operators by name; the result is those they replace."},
    {"forget_operations", forget_operations, METH_NOARGS, "Forget the programs of Operations."},
    {"basic_index", (PyCFunction)(void (*)(void))basic_index, METH_FASTCALL,
     "basic_index(array, index): array[index] where the index is made of numbers and slices; None "
     "for any other, and where it is out of bounds."},
    {"basic_update", basic_update, METH_VARARGS,
     "basic_update(array, index, value): a copy with array[index] = value; None where `basic_index`"
     " gives None, or the value must be converted."},
    {"basic_reshape", (PyCFunction)(void (*)(void))basic_reshape, METH_FASTCALL,
     "basic_reshape(array, *sizes): the elements in another shape, given as one tuple or one by "
     "one; None where that is not plain."},
    {"basic_transpose", (PyCFunction)(void (*)(void))basic_transpose, METH_FASTCALL,
     "basic_transpose(array): a small array with its axes in reverse order; None for any other."},
    {"remote_array", remote_array, METH_VARARGS,
     "remote_array(dtype, shape, weak, remote): an Array whose elements `remote.read()` gives."},
    {"remote_of", remote_of, METH_O, "What has an Array's elements elsewhere, or None."},
    {"attach_remote", attach_remote, METH_VARARGS,
     "attach_remote(array, remote): note that `remote` has the same elements. False, and nothing "
     "done, where there is one or others may write to the Array's memory."},
    {"take_remote", take_remote, METH_O,
     "The remote of an Array, which is deleted, if nobody else has it; else None."},
    {"is_at_hand", is_at_hand, METH_O, "Whether an Array's elements are in this process's memory."},
    {"set_nodes", set_nodes, METH_O,
     "Tell which types are containers: a dict from types to node kinds, None for leaves."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "jitml_runtime._core", "The C core of jitml_runtime.", -1, functions,
    NULL, NULL, NULL, NULL,
};

static void after_fork_in_child(void)
{
    block_after_fork();
    pool_after_fork();
    interrupt_after_fork();
}

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    if (failures_setup(module) < 0 || operators_setup() < 0 || convert_setup() < 0
        || interrupt_setup() < 0 || array_setup(module) < 0 || execute_setup() < 0
        || executable_setup(module) < 0 || settings_setup(module) < 0 || calling_setup(module) < 0
        || dispatch_setup(module) < 0 || eager_setup(module) < 0
        || shortcut_setup(module) < 0 || debugger_setup(module) < 0
        || record_setup(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    pthread_atfork(block_before_fork, block_after_fork, after_fork_in_child);
    return module;
}
