/* Array to and from NumPy and the buffer protocol, without NumPy's headers.
 *
 * In: objects with NumPy's documented __array_struct__. Out: ndarrays over a Window, the object
 * that pins the memory an ndarray looks at. Must not know what the memory is used for.
 */
#include "core.h"

/* The documented C side of __array_struct__. */
typedef struct {
    int two, dimensions;
    char kind;
    int item_bytes, flags;
    Py_ssize_t *shape, *strides;
    void *data;
    PyObject *description;
} ArrayInterface;

enum { C_CONTIGUOUS = 0x1, ALIGNED = 0x100, NOT_SWAPPED = 0x200 };

static PyTypeObject *WindowType;
static PyObject *ndarray_type, *numpy_array, *numpy_generic;
static PyObject *name_array_struct, *name_dtype, *name_copy, *name_astype;

/* ---- Window ---- */

typedef struct {
    PyObject_HEAD
    void *data;
    Py_ssize_t size_bytes;
    Array *array;     /* pinned, or NULL */
    Storage *storage; /* referenced, or NULL */
    bool writable;
} Window;

static void window_dealloc(Window *window)
{
    PyTypeObject *type = Py_TYPE(window);
    if (window->array) {
        array_unpin(window->array);
        Py_DECREF(window->array);
    }
    storage_drop(window->storage);
    PyObject_Free(window);
    Py_DECREF(type);
}

static int window_get_buffer(Window *window, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)window, window->data, window->size_bytes,
                             !window->writable, flags);
}

static PyType_Slot window_slots[] = {
    {Py_tp_doc, "Keeps the memory of an Array in place while an ndarray looks at it."},
    {Py_tp_dealloc, window_dealloc},
    {Py_bf_getbuffer, window_get_buffer},
    {0, NULL},
};

PyObject *numpy_view(int dtype, int dimensions, const int64_t *shape, void *data, Array *array,
                     Storage *storage, bool writable)
{
    PyObject *extents = shape_to_tuple(dimensions, shape);
    int64_t size;
    if (!extents || array_size(dtype, dimensions, shape, &size) < 0) {
        Py_XDECREF(extents);
        return NULL;
    }
    Window *window = PyObject_Malloc(sizeof *window);
    if (!window) {
        Py_DECREF(extents);
        return PyErr_NoMemory();
    }
    PyObject_Init((PyObject *)window, WindowType);
    window->data = data;
    window->size_bytes = (Py_ssize_t)size * dtype_rows[dtype].item_bytes;
    window->writable = writable;
    window->array = (Array *)Py_XNewRef((PyObject *)array);
    if (array)
        array_pin(array);
    window->storage = storage;
    if (storage)
        storage->references++;
    PyObject *arguments[] = {extents, dtype_rows[dtype].dtype, (PyObject *)window};
    PyObject *view = PyObject_Vectorcall(ndarray_type, arguments, 3, NULL);
    Py_DECREF(window);
    Py_DECREF(extents);
    return view;
}

PyObject *array_to_numpy(Array *array)
{
    void *data = array_data(array);
    if (!data)
        return NULL;
    return numpy_view(array->dtype, array->dimensions, array->shape, data, array, NULL, false);
}

/* ---- from NumPy ---- */

static void release_object(Storage *storage) { Py_DECREF((PyObject *)storage->owner); }

/* A new ndarray with the same values that is contiguous, aligned and in native byte order. */
static PyObject *regular_copy(PyObject *source, int dtype)
{
    PyObject *keywords = Py_BuildValue("{s:O,s:s,s:O}", "dtype", dtype_rows[dtype].dtype, "order",
                                       "C", "copy", Py_True);
    PyObject *arguments = keywords ? PyTuple_Pack(1, source) : NULL;
    PyObject *copy = arguments ? PyObject_Call(numpy_array, arguments, keywords) : NULL;
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    return copy;
}

static PyObject *from_interface(PyObject *source, const ArrayInterface *face, int dtype, bool weak,
                                bool copy)
{
    if (face->dimensions > MAX_DIMENSIONS) {
        PyErr_Format(PyExc_ValueError, "arrays have at most %d dimensions", MAX_DIMENSIONS);
        return NULL;
    }
    int64_t shape[MAX_DIMENSIONS];
    for (int i = 0; i < face->dimensions; i++)
        shape[i] = face->shape[i];
    if (copy) {
        Array *array = array_new(dtype, face->dimensions, shape, weak);
        if (array)
            memcpy(array->data, face->data, array_bytes(array));
        return (PyObject *)array;
    }
    Storage *storage = storage_adopt(face->data, 0, release_object, source);
    if (!storage)
        return NULL;
    Py_INCREF(source);
    return (PyObject *)array_wrap(dtype, face->dimensions, shape, weak, face->data, storage);
}

static PyObject *from_numpy(PyObject *source, bool weak, bool copy)
{
    int known = PyObject_IsInstance(source, ndarray_type);
    if (known == 0)
        known = PyObject_IsInstance(source, numpy_generic);
    if (known <= 0) {
        if (known == 0)
            PyErr_Format(PyExc_TypeError, "from_numpy needs a NumPy array, not %.100s",
                         Py_TYPE(source)->tp_name);
        return NULL;
    }
    PyObject *description = PyObject_GetAttr(source, name_dtype);
    int dtype = description ? dtype_code(description) : -1;
    Py_XDECREF(description);
    PyObject *capsule = dtype >= 0 ? PyObject_GetAttr(source, name_array_struct) : NULL;
    const ArrayInterface *face = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
    PyObject *array = NULL;
    const int regular = C_CONTIGUOUS | ALIGNED | NOT_SWAPPED;
    if (face && face->item_bytes == dtype_rows[dtype].item_bytes
        && (face->flags & regular) == regular) {
        /* A scalar's capsule owns the memory it points to, so a scalar is always copied. */
        bool owns = PyObject_TypeCheck(source, (PyTypeObject *)ndarray_type);
        array = from_interface(source, face, dtype, weak, copy || !owns);
    } else if (face) {
        PyObject *made = regular_copy(source, dtype);
        if (made)
            array = from_numpy(made, weak, false);
        Py_XDECREF(made);
    }
    Py_XDECREF(capsule);
    return array;
}

PyObject *array_from_numpy(PyObject *source, bool weak, bool copy)
{
    int64_t begin = is_recording ? now_ns() : 0;
    PyObject *array = from_numpy(source, weak, copy);
    if (begin && array)
        record_span(Py_None, begin, now_ns(), (int64_t)array_bytes((Array *)array));
    return array;
}

bool is_plain_numpy(PyObject *object)
{
    return Py_TYPE(object) == (PyTypeObject *)ndarray_type
        || PyObject_TypeCheck(object, (PyTypeObject *)numpy_generic);
}

/* ---- protocols ---- */

PyObject *array_dunder_array(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"dtype", "copy", NULL};
    PyObject *dtype = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:__array__", names, &dtype, &copy))
        return NULL;
    PyObject *view = array_to_numpy((Array *)self);
    if (!view)
        return NULL;
    PyObject *result = NULL;
    PyObject *same = dtype == Py_None ? Py_NewRef(Py_True)
        : PyObject_RichCompare(dtype_rows[((Array *)self)->dtype].dtype, dtype, Py_EQ);
    int is_same = same ? PyObject_IsTrue(same) : -1;
    Py_XDECREF(same);
    int wants_copy = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (is_same < 0 || wants_copy < 0)
        ;
    else if (!is_same && copy != Py_None && !wants_copy)
        PyErr_SetString(PyExc_ValueError,
                        "Unable to avoid copy while creating an array as requested.");
    else if (!is_same)
        result = PyObject_CallMethodOneArg(view, name_astype, dtype);
    else if (wants_copy)
        result = PyObject_CallMethodNoArgs(view, name_copy);
    else
        return view;
    Py_DECREF(view);
    return result;
}

int array_get_buffer(PyObject *self, Py_buffer *view, int flags)
{
    Array *array = (Array *)self;
    const DtypeRow *row = &dtype_rows[array->dtype];
    view->obj = NULL;
    void *data = array_data(array);
    if (!data)
        return -1;
    bool asks_fortran = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
    if (flags & PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "Array is read-only");
        return -1;
    }
    if (((flags & PyBUF_FORMAT) && !row->format) || (asks_fortran && array->dimensions > 1)) {
        PyErr_Format(PyExc_BufferError, "the buffer protocol cannot express this %S array; "
                     "use numpy.asarray(x)", row->dtype);
        return -1;
    }
    Py_ssize_t *strides = NULL;
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES && array->dimensions) {
        strides = PyMem_Malloc((size_t)array->dimensions * sizeof *strides);
        if (!strides) {
            PyErr_NoMemory();
            return -1;
        }
        Py_ssize_t stride = row->item_bytes;
        for (int i = array->dimensions; i-- > 0; stride *= array->shape[i])
            strides[i] = stride;
    }
    *view = (Py_buffer){
        .buf = data, .obj = Py_NewRef(self), .len = (Py_ssize_t)array_bytes(array), .readonly = 1,
        .itemsize = row->item_bytes, .ndim = array->dimensions, .strides = strides,
        .format = (flags & PyBUF_FORMAT) ? (char *)row->format : NULL,
        .shape = (flags & PyBUF_ND) && array->dimensions ? (Py_ssize_t *)array->shape : NULL,
        .internal = strides,
    };
    array_pin(array);
    return 0;
}

void array_release_buffer(PyObject *self, Py_buffer *view)
{
    PyMem_Free(view->internal);
    array_unpin((Array *)self);
}

int convert_setup(void)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Window",
        .basicsize = sizeof(Window),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = window_slots,
    };
    WindowType = (PyTypeObject *)PyType_FromSpec(&spec);
    ndarray_type = imported("numpy", "ndarray");
    numpy_array = imported("numpy", "array");
    numpy_generic = imported("numpy", "generic");
    name_array_struct = interned("__array_struct__");
    name_dtype = interned("dtype");
    name_copy = interned("copy");
    name_astype = interned("astype");
    bool ready = WindowType && ndarray_type && numpy_array && numpy_generic && name_array_struct
              && name_dtype && name_copy && name_astype;
    return ready ? 0 : -1;
}
