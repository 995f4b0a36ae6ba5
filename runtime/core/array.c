/* Array: an immutable array; header, shape and small data in one object.
 *
 * In: dtypes, shapes, memory. Out: Python objects. Must not know how operators or kernels work.
 * The data is only looked at by those who pin it: runs and exports. A deleted array gives its
 * memory back when the last pin goes.
 */
#include "core.h"

#include <structmember.h>

PyTypeObject *ArrayType;
DtypeRow dtype_rows[32];
int dtype_count;
Py_ssize_t live_arrays;
static Array *stored_arrays; /* newest first */
static PyObject *message_deleted, *rebuild_function;

/* ---- dtypes and shapes ---- */

int dtype_code(PyObject *dtype)
{
    for (int code = 0; code < dtype_count; code++)
        if (dtype_rows[code].dtype == dtype)
            return code;
    PyObject *module = PyImport_ImportModule("jitml_runtime.dtypes");
    PyObject *row = module ? PyObject_CallMethod(module, "find_row", "O", dtype) : NULL;
    PyObject *known = row ? PyObject_GetAttrString(row, "dtype") : NULL;
    int found = -1;
    for (int code = 0; known && code < dtype_count; code++)
        if (dtype_rows[code].dtype == known)
            found = code;
    Py_XDECREF(known);
    Py_XDECREF(row);
    Py_XDECREF(module);
    return found;
}

int shape_from_tuple(PyObject *tuple, int64_t *shape)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "a shape must be a tuple, not %.100s",
                     Py_TYPE(tuple)->tp_name);
        return -1;
    }
    Py_ssize_t dimensions = PyTuple_GET_SIZE(tuple);
    if (dimensions > MAX_DIMENSIONS) {
        PyErr_Format(PyExc_ValueError, "arrays have at most %d dimensions, not %zd",
                     MAX_DIMENSIONS, dimensions);
        return -1;
    }
    for (Py_ssize_t i = 0; i < dimensions; i++) {
        shape[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
        if (shape[i] == -1 && PyErr_Occurred())
            return -1;
        if (shape[i] < 0) {
            PyErr_Format(PyExc_ValueError, "shape %R has a negative size", tuple);
            return -1;
        }
    }
    return (int)dimensions;
}

PyObject *shape_to_tuple(int dimensions, const int64_t *shape)
{
    PyObject *tuple = PyTuple_New(dimensions);
    for (int i = 0; tuple && i < dimensions; i++) {
        PyObject *extent = PyLong_FromLongLong(shape[i]);
        if (!extent)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, extent);
    }
    return tuple;
}

int array_size(int dtype, int dimensions, const int64_t *shape, int64_t *size)
{
    int64_t count = 1, bytes;
    bool overflow = false, empty = false;
    for (int i = 0; i < dimensions; i++) {
        overflow |= __builtin_mul_overflow(count, shape[i] ? shape[i] : 1, &count);
        empty |= shape[i] == 0;
    }
    overflow |= __builtin_mul_overflow(count, dtype_rows[dtype].item_bytes, &bytes);
    if (overflow) { /* even if empty: NumPy could not show it */
        PyErr_SetString(PyExc_MemoryError, "the array is larger than the address space");
        return -1;
    }
    *size = empty ? 0 : count;
    return 0;
}

/* ---- construction and end ---- */

/* Small objects that have ended, by size in steps of 64 bytes: the next ones take their place. */
#define ROOM_STEP 64
#define MOST_SPARE 256
enum { ROOM_COUNT = 512 / ROOM_STEP, NO_ROOM = 255 };
static Array *spare[ROOM_COUNT][MOST_SPARE];
static int spare_counts[ROOM_COUNT];

static __attribute__((noinline)) Array *object_new(size_t bytes)
{
    size_t room = (bytes - 1) / ROOM_STEP;
    bool is_small = room < ROOM_COUNT;
    Array *array = PyObject_Malloc(is_small ? (room + 1) * ROOM_STEP : bytes);
    if (!array)
        return (Array *)PyErr_NoMemory();
    PyObject_Init((PyObject *)array, ArrayType);
    array->room = is_small ? (uint8_t)room : NO_ROOM;
    return array;
}

static inline Array *object_acquire(size_t bytes)
{
    size_t room = (bytes - 1) / ROOM_STEP;
    if (room >= ROOM_COUNT || !spare_counts[room])
        return object_new(bytes);
    Array *array = spare[room][--spare_counts[room]];
    Py_SET_REFCNT((PyObject *)array, 1);
    return array;
}

static void object_release(Array *array)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(Py_DEBUG) /* they would miss a use after the end */
    if (array->room != NO_ROOM && spare_counts[array->room] < MOST_SPARE) {
        spare[array->room][spare_counts[array->room]++] = array;
        return;
    }
#endif
    PyTypeObject *type = Py_TYPE(array);
    PyObject_Free(array);
    Py_DECREF(type);
}

static inline __attribute__((always_inline)) Array *
array_header(int dtype, int dimensions, const int64_t *shape, bool weak, int64_t size,
             size_t inline_bytes)
{
    size_t bytes = offsetof(Array, shape) + (size_t)dimensions * sizeof(int64_t) + inline_bytes;
    Array *array = object_acquire(bytes);
    if (!array)
        return NULL;
    memset(&array->weak_references, 0, offsetof(Array, size) - offsetof(Array, weak_references));
    array->size = size;
    uint32_t kind = kind_of(dtype, dimensions, weak);
    memcpy(&array->dtype, &kind, sizeof kind); /* all at once, as it is read */
    array->pins = 0;
    for (int i = 0; i < dimensions; i++)
        array->shape[i] = shape[i];
    live_arrays++;
    return array;
}

static void array_unlist(Array *array)
{
    if (!array->stored_link)
        return;
    *array->stored_link = array->next_stored;
    if (array->next_stored)
        array->next_stored->stored_link = array->stored_link;
    array->stored_link = NULL;
}

/* Give the array its storage; from now on it is among those that a MemoryError tells of. One whose
 * elements were elsewhere is among them already.
 */
void array_store(Array *array, Storage *storage, void *data)
{
    array_unlist(array);
    array->storage = storage;
    array->data = data;
    array->next_stored = stored_arrays;
    array->stored_link = &stored_arrays;
    if (stored_arrays)
        stored_arrays->stored_link = &array->next_stored;
    stored_arrays = array;
}

/* `size` is known to be that of the shape. */
Array *array_of_size(int dtype, int dimensions, const int64_t *shape, bool weak, int64_t size)
{
    size_t bytes = (size_t)size * dtype_rows[dtype].item_bytes;
    bool is_inline = bytes <= MAX_INLINE_BYTES;
    Array *array = array_header(dtype, dimensions, shape, weak, size,
                                is_inline ? ALIGN_UP(bytes + 1) + ALIGNMENT - 1 : 0);
    if (!array)
        return NULL;
    if (is_inline) {
        array->data = (void *)ALIGN_UP((uintptr_t)(array->shape + dimensions));
        return array;
    }
    Storage *storage = storage_new(bytes);
    if (!storage) {
        Py_DECREF(array);
        return NULL;
    }
    array_store(array, storage, storage->data);
    return array;
}

Array *array_new(int dtype, int dimensions, const int64_t *shape, bool weak)
{
    int64_t size;
    if (array_size(dtype, dimensions, shape, &size) < 0)
        return NULL;
    return array_of_size(dtype, dimensions, shape, weak, size);
}

Array *array_wrap(int dtype, int dimensions, const int64_t *shape, bool weak, void *data,
                  Storage *storage)
{
    int64_t size;
    Array *array = NULL;
    if (array_size(dtype, dimensions, shape, &size) == 0)
        array = array_header(dtype, dimensions, shape, weak, size, 0);
    if (!array) {
        storage_drop(storage);
        return NULL;
    }
    array_store(array, storage, data);
    return array;
}

/* Another header over the same memory, for reshapes and changes of the weak flag. */
PyObject *array_share(Array *array, int dimensions, const int64_t *shape, bool weak)
{
    if (array_check(array) < 0)
        return NULL;
    Array *other;
    if (array->storage || !array->data) {
        if (array->storage)
            array->storage->references++;
        other = array_wrap(array->dtype, dimensions, shape, weak, array->data, array->storage);
    } else if ((other = array_new(array->dtype, dimensions, shape, weak))) {
        memcpy(other->data, array->data, array_bytes(array));
    }
    if (other)
        other->remote = Py_XNewRef(array->remote);
    return (PyObject *)other;
}

static void array_drop_data(Array *array)
{
    Storage *storage = array->storage;
    array->storage = NULL;
    array->data = NULL;
    storage_drop(storage);
}

void array_unpin(Array *array)
{
    if (--array->pins == 0 && array->deleted)
        array_drop_data(array);
}

void array_delete(Array *array)
{
    array->deleted = true;
    if (array->pins == 0)
        array_drop_data(array);
    Py_CLEAR(array->remote);
}

static void array_dealloc(Array *array)
{
    array_unlist(array);
    if (array->weak_references)
        PyObject_ClearWeakRefs((PyObject *)array);
    if (array->storage)
        storage_drop(array->storage);
    Py_XDECREF(array->remote);
    live_arrays--;
    object_release(array);
}

/* Nothing may be allocated while the list is walked: that could run the collector. */
PyObject *list_stored_arrays(void)
{
    Py_ssize_t count = 0, filled = 0;
    for (Array *array = stored_arrays; array; array = array->next_stored)
        count++;
    PyObject *list = PyList_New(count);
    if (!list)
        return NULL;
    for (Array *array = stored_arrays; array && filled < count; array = array->next_stored)
        if (array->data)
            PyList_SET_ITEM(list, filled++, Py_NewRef((PyObject *)array));
    if (filled < count && PyList_SetSlice(list, filled, count, NULL) < 0)
        Py_CLEAR(list);
    return list;
}

int array_check(Array *array)
{
    if (!array->deleted)
        return 0;
    PyErr_SetObject(PyExc_RuntimeError, message_deleted);
    return -1;
}

void *array_data(Array *array)
{
    if (array_check(array) < 0)
        return NULL;
    return array->data || !array->remote ? array->data : array_bring(array);
}

/* ---- attributes ---- */

static PyObject *get_shape(Array *self, void *unused)
{
    (void)unused;
    return shape_to_tuple(self->dimensions, self->shape);
}

static PyObject *get_dtype(Array *self, void *unused)
{
    (void)unused;
    return Py_NewRef(dtype_rows[self->dtype].dtype);
}

static PyObject *get_ndim(Array *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(self->dimensions);
}

static PyObject *get_size(Array *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(self->size);
}

static PyObject *get_nbytes(Array *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(array_bytes(self));
}

static PyObject *get_itemsize(Array *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(dtype_rows[self->dtype].item_bytes);
}

static PyObject *get_weak_type(Array *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->weak);
}

static PyObject *array_is_deleted(Array *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(self->deleted);
}

static PyObject *array_method_delete(Array *self, PyObject *unused)
{
    (void)unused;
    array_delete(self);
    Py_RETURN_NONE;
}

static Py_ssize_t array_length(Array *self)
{
    if (self->dimensions == 0) {
        PyErr_SetString(PyExc_TypeError, "len() of unsized object");
        return -1;
    }
    return (Py_ssize_t)self->shape[0];
}

/* ---- copies ---- */

static PyObject *array_copy(Array *self, PyObject *unused)
{
    (void)unused;
    if (!self->data && self->remote) /* it never changes */
        return array_share(self, self->dimensions, self->shape, self->weak);
    void *data = array_data(self);
    if (!data)
        return NULL;
    Array *copy = array_new(self->dtype, self->dimensions, self->shape, self->weak);
    if (copy)
        memcpy(copy->data, data, array_bytes(self));
    return (PyObject *)copy;
}

static PyObject *array_reduce(Array *self, PyObject *unused)
{
    (void)unused;
    void *data = array_data(self);
    if (!data)
        return NULL;
    PyObject *shape = shape_to_tuple(self->dimensions, self->shape), *bytes = NULL;
    PyObject *dtype = shape ? PyObject_Str(dtype_rows[self->dtype].dtype) : NULL;
    if (dtype)
        bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)array_bytes(self));
    PyObject *parts = bytes ? Py_BuildValue("O(OOOO)", rebuild_function, dtype, shape, bytes,
                                            self->weak ? Py_True : Py_False) : NULL;
    Py_XDECREF(bytes);
    Py_XDECREF(dtype);
    Py_XDECREF(shape);
    return parts;
}

/* ---- the type ---- */

static PyMethodDef array_methods[] = {
    {"is_deleted", (PyCFunction)array_is_deleted, METH_NOARGS,
     "Return whether the array was donated or deleted."},
    {"delete", (PyCFunction)array_method_delete, METH_NOARGS,
     "Give the memory back at once; reading the array afterwards raises RuntimeError."},
    {"__copy__", (PyCFunction)array_copy, METH_NOARGS, NULL},
    {"__deepcopy__", (PyCFunction)array_copy, METH_O, NULL},
    {"__reduce__", (PyCFunction)array_reduce, METH_NOARGS, NULL},
    {"__complex__", array_dunder_complex, METH_NOARGS, NULL},
    {"__format__", array_dunder_format, METH_O, NULL},
    {"__array__", (PyCFunction)(void (*)(void))array_dunder_array,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {"__dlpack__", (PyCFunction)(void (*)(void))array_dunder_dlpack,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {"__dlpack_device__", array_dunder_dlpack_device, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef array_attributes[] = {
    {"shape", (getter)get_shape, NULL, "Size along each axis.", NULL},
    {"dtype", (getter)get_dtype, NULL, "Element type.", NULL},
    {"ndim", (getter)get_ndim, NULL, "Number of axes.", NULL},
    {"size", (getter)get_size, NULL, "Number of elements.", NULL},
    {"nbytes", (getter)get_nbytes, NULL, "Bytes of all elements.", NULL},
    {"itemsize", (getter)get_itemsize, NULL, "Bytes of one element.", NULL},
    {"weak_type", (getter)get_weak_type, NULL,
     "Whether the element type gives way to others, as a Python scalar's does.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef array_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Array, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot array_slots[] = {
    {Py_tp_doc, "An immutable array. Made by from_numpy, from_dlpack or a compiled function."},
    {Py_tp_dealloc, array_dealloc},
    {Py_tp_methods, array_methods},
    {Py_tp_getset, array_attributes},
    {Py_tp_members, array_members},
    {Py_mp_length, array_length},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_bf_getbuffer, array_get_buffer},
    {Py_bf_releasebuffer, array_release_buffer},
};

static int read_dtype_rows(void)
{
    PyObject *module = PyImport_ImportModule("jitml_runtime.dtypes");
    PyObject *rows = module ? PyObject_GetAttrString(module, "ROWS") : NULL;
    Py_XDECREF(module);
    if (!rows)
        return -1;
    Py_ssize_t count = PyTuple_Check(rows) ? PyTuple_GET_SIZE(rows) : 0;
    if (count > (Py_ssize_t)(sizeof dtype_rows / sizeof *dtype_rows))
        count = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        DtypeRow *row = &dtype_rows[i];
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(rows, i), "Obs", &row->dtype, &row->dlpack_code,
                              &row->format))
            return -1;
        PyObject *size = PyObject_GetAttrString(row->dtype, "itemsize");
        if (!size)
            return -1;
        row->item_bytes = (uint8_t)PyLong_AsLong(size);
        Py_DECREF(size);
        if (!row->format[0])
            row->format = NULL;
    }
    dtype_count = (int)count;
    return 0; /* the reference to `rows` is kept: the table points into it */
}

int array_setup(PyObject *module)
{
    if (read_dtype_rows() < 0)
        return -1;
    message_deleted = imported("jitml_runtime.errors", "DELETED");
    rebuild_function = imported("jitml_runtime.rebuild", "rebuild_array");
    if (!message_deleted || !rebuild_function)
        return -1;
    size_t own = sizeof array_slots / sizeof *array_slots, others = 0;
    while (operator_slots[others].slot)
        others++;
    PyType_Slot *slots = PyMem_Calloc(own + others + 1, sizeof *slots);
    if (!slots) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(slots, array_slots, sizeof array_slots);
    memcpy(slots + own, operator_slots, others * sizeof *slots);
    PyType_Spec spec = {
        .name = "jitml_runtime.Array",
        .basicsize = (int)offsetof(Array, shape),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    ArrayType = (PyTypeObject *)PyType_FromSpec(&spec);
    PyMem_Free(slots);
    if (!ArrayType)
        return -1;
    /* Binary operators of ndarray with a lower priority leave the work to our slots. */
    PyObject *priority = PyLong_FromLong(100);
    int failed = !priority
              || PyObject_SetAttrString((PyObject *)ArrayType, "__array_priority__", priority) < 0;
    Py_XDECREF(priority);
    return failed ? -1 : PyModule_AddObjectRef(module, "Array", (PyObject *)ArrayType);
}
