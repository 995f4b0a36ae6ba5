/* array[index] and array.at[index].set(value) for indices made of integers and slices.
 *
 * In: an Array and an index as a user writes it. Out: a new Array with the elements; None for any
 * other index, and for one out of bounds, which others know what to say about. What is read or
 * written is a box of strided axes: nothing is compiled, whatever the numbers are.
 */
#include "core.h"

#define LONG_COPY_BYTES ((int64_t)1 << 20) /* above it other Python threads may run meanwhile */

/* The elements that an index names: an offset, axes to walk, and the shape of the result. */
typedef struct {
    int64_t offset;
    Axis axes[MAX_DIMENSIONS];
    int64_t shape[MAX_DIMENSIONS];
    int dimensions;
} Box;

/* ---- the index ---- */

static bool box_add(Box *box, int64_t count, int64_t stride)
{
    if (box->dimensions == MAX_DIMENSIONS)
        return false;
    box->shape[box->dimensions] = count;
    box->axes[box->dimensions++] = (Axis){count, stride};
    return true;
}

static bool take_integer(Box *box, PyObject *item, int64_t size, int64_t stride)
{
    int overflow;
    long long position = PyLong_AsLongLongAndOverflow(item, &overflow);
    if (overflow || position < -size || position >= size)
        return false;
    box->offset += (position < 0 ? position + size : position) * stride;
    return true;
}

static bool is_plain_bound(PyObject *bound)
{
    return bound == Py_None || PyLong_CheckExact(bound);
}

static bool take_slice(Box *box, PyObject *item, int64_t size, int64_t stride)
{
    const PySliceObject *slice = (const PySliceObject *)item;
    Py_ssize_t start, stop, step;
    if (!is_plain_bound(slice->start) || !is_plain_bound(slice->stop)
        || !is_plain_bound(slice->step))
        return false;
    if (PySlice_Unpack(item, &start, &stop, &step) < 0) {
        PyErr_Clear(); /* a step of 0: others say so */
        return false;
    }
    Py_ssize_t count = PySlice_AdjustIndices((Py_ssize_t)size, &start, &stop, step);
    if (count)
        box->offset += start * stride;
    return box_add(box, count, step * stride);
}

/* What an item uses of the array's axes: 1, 0 (None, Ellipsis), or -1 for what is not ours. */
static int axes_of_item(PyObject *item)
{
    if (PyLong_CheckExact(item) || PySlice_Check(item))
        return 1;
    return item == Py_None || item == Py_Ellipsis ? 0 : -1;
}

static bool take_rest(Box *box, const Array *array, const int64_t *strides, int *axis, int until)
{
    for (; *axis < until; ++*axis)
        if (!box_add(box, array->shape[*axis], strides[*axis]))
            return false;
    return true;
}

static bool take_items(Box *box, const Array *array, PyObject *const *items, Py_ssize_t count)
{
    int64_t strides[MAX_DIMENSIONS], stride = dtype_rows[array->dtype].item_bytes;
    for (int i = array->dimensions; i-- > 0; stride *= array->shape[i])
        strides[i] = stride;
    int used = 0, ellipses = 0, axis = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        int own = axes_of_item(items[i]);
        if (own < 0)
            return false;
        used += own;
        ellipses += items[i] == Py_Ellipsis;
    }
    if (ellipses > 1 || used > array->dimensions)
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = items[i];
        bool taken = item == Py_Ellipsis
                         ? take_rest(box, array, strides, &axis, axis + array->dimensions - used)
                   : item == Py_None ? box_add(box, 1, 0)
                   : PyLong_CheckExact(item)
                         ? take_integer(box, item, array->shape[axis], strides[axis])
                         : take_slice(box, item, array->shape[axis], strides[axis]);
        if (!taken)
            return false;
        axis += axes_of_item(item);
    }
    return take_rest(box, array, strides, &axis, array->dimensions);
}

static bool box_of_index(Box *box, const Array *array, PyObject *index)
{
    box->offset = 0;
    box->dimensions = 0;
    bool known = PyTuple_CheckExact(index)
        ? take_items(box, array, ((PyTupleObject *)index)->ob_item, PyTuple_GET_SIZE(index))
        : take_items(box, array, &index, 1);
    return known;
}

/* ---- copies ---- */

/* Axes that lie one behind the other in both boxes become one. */
static void join_axes(Axis *from, Axis *to, int *count)
{
    int kept = 0;
    for (int i = 0; i < *count; i++) {
        if (from[i].count == 1)
            continue;
        if (kept && from[kept - 1].stride == from[i].stride * from[i].count
            && to[kept - 1].stride == to[i].stride * to[i].count) {
            from[kept - 1] = (Axis){from[kept - 1].count * from[i].count, from[i].stride};
            to[kept - 1] = (Axis){from[kept - 1].count, to[i].stride};
            continue;
        }
        from[kept] = from[i];
        to[kept++] = to[i];
    }
    *count = kept;
}

#define COPY_RUN(type)                                                             \
    for (int64_t i = 0; i < count; i++)                                            \
        *(type *)(to + i * to_stride) = *(const type *)(from + i * from_stride)

static void copy_run(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                     int64_t count, int item_bytes)
{
    if (to_stride == item_bytes && from_stride == item_bytes) {
        memcpy(to, from, (size_t)(count * item_bytes));
        return;
    }
    switch (item_bytes) {
    case 1: COPY_RUN(uint8_t); return;
    case 2: COPY_RUN(uint16_t); return;
    case 4: COPY_RUN(uint32_t); return;
    case 8: COPY_RUN(uint64_t); return;
    default:
        for (int64_t i = 0; i < count; i++)
            memcpy(to + i * to_stride, from + i * from_stride, (size_t)item_bytes);
    }
}

static void copy_axes(char *to, const Axis *to_axes, const char *from, const Axis *from_axes,
                      int count, int item_bytes)
{
    if (count <= 1) {
        int64_t length = count ? from_axes->count : 1;
        copy_run(to, count ? to_axes->stride : item_bytes, from,
                 count ? from_axes->stride : item_bytes, length, item_bytes);
        return;
    }
    for (int64_t i = 0; i < from_axes->count; i++)
        copy_axes(to + i * to_axes->stride, to_axes + 1, from + i * from_axes->stride,
                  from_axes + 1, count - 1, item_bytes);
}

/* Both boxes have the same counts. */
static void copy_box(char *to, Axis *to_axes, const char *from, Axis *from_axes, int count,
                     int item_bytes)
{
    int64_t size = item_bytes;
    for (int i = 0; i < count; i++)
        size *= from_axes[i].count;
    if (size == 0)
        return;
    join_axes(from_axes, to_axes, &count);
    PyThreadState *thread = size > LONG_COPY_BYTES ? PyEval_SaveThread() : NULL;
    copy_axes(to, to_axes, from, from_axes, count, item_bytes);
    if (thread)
        PyEval_RestoreThread(thread);
}

static void dense_axes(Axis *axes, int dimensions, const int64_t *shape, int item_bytes)
{
    int64_t stride = item_bytes;
    for (int i = dimensions; i-- > 0; stride *= shape[i])
        axes[i] = (Axis){shape[i], stride};
}

void copy_box_dense(char *to, const int64_t *shape, const char *from, Axis *axes, int dimensions,
                    int item_bytes)
{
    Axis dense[MAX_DIMENSIONS];
    dense_axes(dense, dimensions, shape, item_bytes);
    copy_box(to, dense, from, axes, dimensions, item_bytes);
}

/* ---- reading ---- */

/* basic_index(array, index) */
PyObject *basic_index(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    (void)module;
    Box box;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "basic_index takes an array and an index");
        return NULL;
    }
    if (!ARRAY_CHECK(given[0]) || array_is_remote((Array *)given[0])
        || !box_of_index(&box, (Array *)given[0], given[1]))
        Py_RETURN_NONE;
    Array *array = (Array *)given[0];
    const char *data = array_data(array);
    Array *result = data ? array_new(array->dtype, box.dimensions, box.shape, array->weak) : NULL;
    if (!result)
        return NULL;
    array_pin(array); /* Python may be let go meanwhile */
    copy_box_dense(result->data, box.shape, data + box.offset, box.axes, box.dimensions,
                   dtype_rows[array->dtype].item_bytes);
    array_unpin(array);
    return (PyObject *)result;
}

/* ---- writing ---- */

/* The axes of a value that is broadcast to the box; false if its shape does not fit. */
static bool broadcast_axes(Axis *axes, const Box *box, const Array *value)
{
    int extra = box->dimensions - value->dimensions;
    if (extra < 0)
        return false;
    int64_t stride = dtype_rows[value->dtype].item_bytes;
    for (int i = box->dimensions; i-- > 0;) {
        int64_t own = i < extra ? 1 : value->shape[i - extra];
        if (own != 1 && own != box->shape[i])
            return false;
        axes[i] = (Axis){box->shape[i], own == 1 ? 0 : stride};
        stride *= own;
    }
    return true;
}

/* The value as an Array of the dtype of `array`: a new reference, or NULL if it must be converted. */
static Array *value_of_dtype(PyObject *value, const Array *array)
{
    if (!ARRAY_CHECK(value))
        return dtype_takes_number(array->dtype, value)
             ? array_of_number(value, array->dtype, array->weak) : NULL;
    return ((Array *)value)->dtype == array->dtype ? (Array *)Py_NewRef(value) : NULL;
}

static PyObject *update(Array *array, Box *box, const char *data, const Array *value)
{
    Axis axes[MAX_DIMENSIONS];
    if (!broadcast_axes(axes, box, value))
        Py_RETURN_NONE;
    Array *result = array_new(array->dtype, array->dimensions, array->shape, array->weak);
    if (!result)
        return NULL;
    memcpy(result->data, data, array_bytes(array));
    copy_box((char *)result->data + box->offset, box->axes, value->data, axes, box->dimensions,
             dtype_rows[array->dtype].item_bytes);
    return (PyObject *)result;
}

PyObject *basic_update(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *index, *given;
    Box box;
    if (!PyArg_UnpackTuple(args, "basic_update", 3, 3, &object, &index, &given))
        return NULL;
    if (!ARRAY_CHECK(object) || array_is_remote((Array *)object)
        || (ARRAY_CHECK(given) && array_is_remote((Array *)given))
        || !box_of_index(&box, (Array *)object, index))
        Py_RETURN_NONE;
    Array *array = (Array *)object;
    Array *value = value_of_dtype(given, array);
    if (!value) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    PyObject *result = NULL;
    const char *data = array_data(array);
    if (data && array_data(value)) {
        array_pin(array);
        array_pin(value);
        result = update(array, &box, data, value);
        array_unpin(value);
        array_unpin(array);
    }
    Py_DECREF(value);
    return result;
}
