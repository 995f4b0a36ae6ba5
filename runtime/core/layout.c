/* array.reshape(…) and array.T of arrays at hand, without a program.
 *
 * In: an Array and sizes as a user writes them. Out: an Array over the same memory, or a small
 * copy; None for anything else, mistakes among it, which others know what to say about.
 */
#include "core.h"

#define SMALL_COPY_BYTES 1024 /* larger arrays are worth a kernel */

static bool take_size(PyObject *given, int64_t *size)
{
    int overflow;
    *size = PyLong_CheckExact(given) ? PyLong_AsLongLongAndOverflow(given, &overflow) : -2;
    return *size >= -1 && !(overflow && *size == -1);
}

/* The sizes, -1 among them resolved; whether they are a shape of so many elements. */
static bool take_sizes(PyObject *const *given, Py_ssize_t count, int64_t elements, int64_t *shape)
{
    int64_t known = 1;
    Py_ssize_t open = -1;
    if (count > MAX_DIMENSIONS)
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!take_size(given[i], &shape[i]) || (shape[i] < 0 && open >= 0))
            return false;
        if (shape[i] < 0)
            open = i;
        else if (__builtin_mul_overflow(known, shape[i], &known))
            return false;
    }
    if (open < 0)
        return known == elements;
    if (!known || elements % known)
        return false;
    shape[open] = elements / known;
    return true;
}

static bool is_usable(PyObject *object)
{
    return ARRAY_CHECK(object) && !array_is_remote((Array *)object) && !((Array *)object)->deleted;
}

/* basic_reshape(array, shape) or basic_reshape(array, size, …) */
PyObject *basic_reshape(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    (void)module;
    int64_t shape[MAX_DIMENSIONS];
    if (count < 2 || !is_usable(given[0]))
        Py_RETURN_NONE;
    Array *array = (Array *)given[0];
    bool is_tuple = count == 2 && PyTuple_CheckExact(given[1]);
    PyObject *const *sizes = is_tuple ? &PyTuple_GET_ITEM(given[1], 0) : given + 1;
    Py_ssize_t dimensions = is_tuple ? PyTuple_GET_SIZE(given[1]) : count - 1;
    if (!take_sizes(sizes, dimensions, array->size, shape))
        Py_RETURN_NONE;
    if (dimensions == array->dimensions
        && !memcmp(shape, array->shape, (size_t)dimensions * sizeof *shape))
        return Py_NewRef((PyObject *)array);
    return array_share(array, (int)dimensions, shape, array->weak);
}

/* basic_transpose(array): the axes in reverse order */
PyObject *basic_transpose(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    (void)module;
    if (count != 1 || !is_usable(given[0]))
        Py_RETURN_NONE;
    Array *array = (Array *)given[0];
    int64_t shape[MAX_DIMENSIONS], item_bytes = dtype_rows[array->dtype].item_bytes;
    Axis from[MAX_DIMENSIONS];
    int dimensions = array->dimensions;
    if (dimensions < 2)
        return Py_NewRef((PyObject *)array);
    if (array_bytes(array) > SMALL_COPY_BYTES)
        Py_RETURN_NONE;
    int64_t stride = item_bytes;
    for (int i = 0; i < dimensions; i++, stride *= shape[i - 1]) {
        shape[i] = array->shape[dimensions - 1 - i];
        from[i] = (Axis){shape[i], stride};
    }
    Array *result = array_of_size(array->dtype, dimensions, shape, array->weak, array->size);
    if (result)
        copy_box_dense(result->data, shape, array->data, from, dimensions, (int)item_bytes);
    return (PyObject *)result;
}
