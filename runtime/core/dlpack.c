/* Array to and from DLPack, versions 0 (unversioned capsules) and 1.
 *
 * In and out: capsules. An export is read-only and pins the array until the consumer is done; an
 * import adopts the producer's memory, or copies it where it is not laid out row by row.
 */
#include "core.h"

enum { DEVICE_CPU = 1, DEVICE_CUDA_HOST = 3, FLAG_READ_ONLY = 1, FLAG_COPIED = 2 };

typedef struct {
    void *data;
    struct { int32_t type, number; } device;
    int32_t dimensions;
    struct { uint8_t code, bits; uint16_t lanes; } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} Tensor;

typedef struct Managed {
    Tensor tensor;
    void *context;
    void (*deleter)(struct Managed *);
} Managed;

typedef struct ManagedVersioned {
    struct { uint32_t major, minor; } version;
    void *context;
    void (*deleter)(struct ManagedVersioned *);
    uint64_t flags;
    Tensor tensor;
} ManagedVersioned;

/* ---- export ---- */

/* What an exported capsule owns. The union's first member decides nothing: only one is used. */
typedef struct {
    union {
        Managed plain;
        ManagedVersioned versioned;
    } as;
    Array *array; /* pinned */
    int64_t strides[];
} Export;

static void export_end(Export *export)
{
    if (!export || !Py_IsInitialized())
        return;
    PyGILState_STATE state = PyGILState_Ensure(); /* the consumer need not hold Python */
    array_unpin(export->array);
    Py_DECREF(export->array);
    PyMem_Free(export);
    PyGILState_Release(state);
}

static void delete_plain(Managed *managed) { export_end(managed->context); }
static void delete_versioned(ManagedVersioned *managed) { export_end(managed->context); }

static void capsule_end(PyObject *capsule) /* only if nobody has consumed it */
{
    if (PyCapsule_IsValid(capsule, "dltensor"))
        export_end(((Managed *)PyCapsule_GetPointer(capsule, "dltensor"))->context);
    else if (PyCapsule_IsValid(capsule, "dltensor_versioned"))
        export_end(((ManagedVersioned *)PyCapsule_GetPointer(capsule,
                                                             "dltensor_versioned"))->context);
}

static PyObject *export_array(Array *array, bool versioned, uint64_t flags)
{
    void *data = array_data(array);
    if (!data)
        return NULL;
    const DtypeRow *row = &dtype_rows[array->dtype];
    Export *export = PyMem_Calloc(1, sizeof *export
                                         + (size_t)(array->dimensions + 1) * sizeof(int64_t));
    if (!export)
        return PyErr_NoMemory();
    int64_t stride = 1;
    for (int i = array->dimensions; i-- > 0; stride *= array->shape[i])
        export->strides[i] = stride;
    Tensor tensor = {
        .data = data, .device = {DEVICE_CPU, 0}, .dimensions = array->dimensions,
        .dtype = {row->dlpack_code, (uint8_t)(row->item_bytes * 8), 1},
        .shape = array->shape, .strides = export->strides,
    };
    PyObject *capsule;
    if (versioned) {
        export->as.versioned = (ManagedVersioned){{1, 0}, export, delete_versioned, flags, tensor};
        capsule = PyCapsule_New(&export->as.versioned, "dltensor_versioned", capsule_end);
    } else {
        export->as.plain = (Managed){tensor, export, delete_plain};
        capsule = PyCapsule_New(&export->as.plain, "dltensor", capsule_end);
    }
    if (!capsule) {
        PyMem_Free(export);
        return NULL;
    }
    export->array = (Array *)Py_NewRef((PyObject *)array);
    array_pin(array);
    return capsule;
}

/* The asked major version, 0 if none; -1 with an error set. */
static long asked_version(PyObject *max_version)
{
    if (max_version == Py_None)
        return 0;
    PyObject *major = PySequence_GetItem(max_version, 0);
    long version = major ? PyLong_AsLong(major) : -1;
    Py_XDECREF(major);
    return version;
}

/* 0 if the asked device is ours, else -1 with an error set. */
static int check_device(PyObject *device)
{
    if (device == Py_None)
        return 0;
    PyObject *type = PySequence_GetItem(device, 0);
    long number = type ? PyLong_AsLong(type) : -1;
    Py_XDECREF(type);
    if (number == DEVICE_CPU)
        return 0;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_BufferError, "this array can only be exported to the CPU");
    return -1;
}

PyObject *array_dunder_dlpack(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = Py_None, *max_version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$OOOO:__dlpack__", names, &stream,
                                     &max_version, &device, &copy))
        return NULL;
    PyObject *remote = ((Array *)self)->remote;
    if (remote && array_check((Array *)self) == 0)
        return PyObject_CallMethod(remote, "dlpack", "OOOOO", self, stream, max_version, device, copy);
    if (stream != Py_None) {
        PyErr_SetString(PyExc_BufferError, "arrays on the CPU have no stream: pass stream=None");
        return NULL;
    }
    long major = asked_version(max_version);
    int copies = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (major < 0 || copies < 0 || check_device(device) < 0)
        return NULL;
    if (!copies)
        return export_array((Array *)self, major >= 1, FLAG_READ_ONLY);
    PyObject *other = PyObject_CallMethod(self, "__copy__", NULL);
    PyObject *capsule = other ? export_array((Array *)other, major >= 1, FLAG_COPIED) : NULL;
    Py_XDECREF(other);
    return capsule;
}

PyObject *array_dunder_dlpack_device(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *remote = ((Array *)self)->remote;
    if (remote)
        return PyObject_CallMethod(remote, "dlpack_device", NULL);
    return Py_BuildValue("(ii)", DEVICE_CPU, 0);
}

/* ---- import ---- */

static void release_plain(Storage *storage)
{
    Managed *managed = storage->owner;
    if (managed->deleter)
        managed->deleter(managed);
}

static void release_versioned(Storage *storage)
{
    ManagedVersioned *managed = storage->owner;
    if (managed->deleter)
        managed->deleter(managed);
}

static int tensor_dtype(const Tensor *tensor)
{
    for (int code = 0; code < dtype_count; code++)
        if (dtype_rows[code].dlpack_code == tensor->dtype.code && tensor->dtype.lanes == 1
            && dtype_rows[code].item_bytes * 8 == tensor->dtype.bits)
            return code;
    PyErr_Format(PyExc_BufferError, "DLPack type (code %d, %d bits, %d lanes) is not supported",
                 tensor->dtype.code, tensor->dtype.bits, tensor->dtype.lanes);
    return -1;
}

static bool is_row_by_row(const Tensor *tensor)
{
    int64_t expected = 1;
    for (int i = tensor->dimensions; tensor->strides && i-- > 0;) {
        if (tensor->shape[i] == 0)
            return true;
        if (tensor->shape[i] != 1 && tensor->strides[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

/* Copy elements row by row, in the order of the target. */
static void copy_strided(char *target, const char *source, const Tensor *tensor, size_t item)
{
    int64_t position[MAX_DIMENSIONS] = {0};
    for (;;) {
        memcpy(target, source, item);
        target += item;
        int axis = tensor->dimensions - 1;
        for (; axis >= 0; axis--) {
            source += tensor->strides[axis] * (int64_t)item;
            if (++position[axis] < tensor->shape[axis])
                break;
            source -= tensor->strides[axis] * tensor->shape[axis] * (int64_t)item;
            position[axis] = 0;
        }
        if (axis < 0)
            return;
    }
}

/* Make an array of a tensor; *adopted tells whether the array now owns the producer's memory. */
static PyObject *import_tensor(const Tensor *tensor, void *owner, void (*release)(Storage *),
                               bool *adopted)
{
    *adopted = false;
    if (tensor->device.type != DEVICE_CPU && tensor->device.type != DEVICE_CUDA_HOST) {
        PyErr_Format(PyExc_BufferError, "DLPack device %d is not supported: copy to the CPU first",
                     tensor->device.type);
        return NULL;
    }
    if (tensor->dimensions < 0 || tensor->dimensions > MAX_DIMENSIONS) {
        PyErr_Format(PyExc_BufferError, "%d dimensions are not supported", tensor->dimensions);
        return NULL;
    }
    int dtype = tensor_dtype(tensor);
    int64_t size;
    if (dtype < 0 || array_size(dtype, tensor->dimensions, tensor->shape, &size) < 0)
        return NULL;
    size_t item = dtype_rows[dtype].item_bytes;
    char *data = (char *)tensor->data + tensor->byte_offset;
    bool regular = is_row_by_row(tensor) && (uintptr_t)data % (item > 8 ? item / 2 : item) == 0;
    if (size && regular) {
        Storage *storage = storage_adopt(data, 0, release, owner);
        if (!storage)
            return NULL;
        Array *array = array_wrap(dtype, tensor->dimensions, tensor->shape, false, data, storage);
        *adopted = true; /* even if it failed: then the storage has released the owner */
        return (PyObject *)array;
    }
    Array *array = array_new(dtype, tensor->dimensions, tensor->shape, false);
    if (array && size && is_row_by_row(tensor))
        memcpy(array->data, data, array_bytes(array));
    else if (array && size)
        copy_strided(array->data, data, tensor, item);
    return (PyObject *)array;
}

static PyObject *import_capsule(PyObject *capsule)
{
    bool adopted;
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        ManagedVersioned *managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (managed->version.major > 1) {
            PyErr_Format(PyExc_BufferError, "DLPack version %d is not supported",
                         (int)managed->version.major);
            return NULL;
        }
        PyObject *array = import_tensor(&managed->tensor, managed, release_versioned, &adopted);
        if (adopted)
            PyCapsule_SetName(capsule, "used_dltensor_versioned");
        return array;
    }
    if (!PyCapsule_IsValid(capsule, "dltensor")) {
        PyErr_SetString(PyExc_BufferError, "not a DLPack capsule, or consumed before");
        return NULL;
    }
    Managed *managed = PyCapsule_GetPointer(capsule, "dltensor");
    PyObject *array = import_tensor(&managed->tensor, managed, release_plain, &adopted);
    if (adopted)
        PyCapsule_SetName(capsule, "used_dltensor");
    return array;
}

PyObject *array_from_dlpack(PyObject *module, PyObject *source)
{
    (void)module;
    if (PyCapsule_CheckExact(source))
        return import_capsule(source);
    PyObject *method = PyObject_GetAttrString(source, "__dlpack__");
    PyObject *keywords = method ? Py_BuildValue("{s:(ii)}", "max_version", 1, 0) : NULL;
    PyObject *nothing = keywords ? PyTuple_New(0) : NULL;
    PyObject *capsule = nothing ? PyObject_Call(method, nothing, keywords) : NULL;
    if (!capsule && nothing && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear(); /* a producer from before version 1 */
        capsule = PyObject_CallNoArgs(method);
    }
    Py_XDECREF(nothing);
    Py_XDECREF(keywords);
    Py_XDECREF(method);
    PyObject *array = capsule ? import_capsule(capsule) : NULL;
    Py_XDECREF(capsule);
    return array;
}
