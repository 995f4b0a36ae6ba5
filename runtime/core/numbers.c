/* Python numbers as 0-d Arrays, and back.
 *
 * In: exact bools, ints, floats and complex numbers, and the dtype they are to have. Out: Arrays
 * with NumPy's conversions; what these few lines do not know how to convert is left to others.
 */
#include "core.h"

enum { KIND_INT = 0, KIND_UINT = 1, KIND_FLOAT = 2, KIND_COMPLEX = 5, KIND_BOOL = 6 }; /* DLPack's */

static int bool_code, narrow_codes[3], wide_codes[3]; /* int, float, complex */

int number_dtype(PyObject *number)
{
    const int *codes = numbers_are_wide() ? wide_codes : narrow_codes;
    if (PyFloat_CheckExact(number))
        return codes[1];
    if (PyLong_CheckExact(number))
        return codes[0];
    if (PyBool_Check(number))
        return bool_code;
    return PyComplex_CheckExact(number) ? codes[2] : -1;
}

bool dtype_is_bool(int dtype) { return dtype == bool_code; }

bool dtype_takes_number(int dtype, PyObject *number)
{
    uint8_t kind = dtype_rows[dtype].dlpack_code;
    if (PyFloat_CheckExact(number))
        return kind == KIND_FLOAT || kind == KIND_COMPLEX;
    return PyLong_CheckExact(number) && kind != KIND_BOOL;
}

static bool store_integer(void *data, const DtypeRow *row, PyObject *number)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    int bits = row->item_bytes * 8;
    bool is_signed = row->dlpack_code == KIND_INT;
    if (overflow || (!is_signed && value < 0))
        return false;
    int magnitude_bits = is_signed ? bits - 1 : bits;
    if (magnitude_bits < 63 && (value >> magnitude_bits) != (value < 0 ? -1 : 0))
        return false;
    memcpy(data, &value, row->item_bytes); /* little-endian */
    return true;
}

static bool store_real(void *data, int item_bytes, PyObject *number)
{
    if (PyFloat_CheckExact(number)) {
        double value = PyFloat_AS_DOUBLE(number);
        if (item_bytes == 8)
            *(double *)data = value;
        else
            *(float *)data = (float)value;
        return true;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow)
        return false;
    if (item_bytes == 8)
        *(double *)data = (double)value;
    else
        *(float *)data = (float)value;
    return true;
}

static bool store_complex(void *data, int item_bytes, PyObject *number)
{
    int half = item_bytes / 2;
    memset(data, 0, (size_t)item_bytes);
    if (!PyComplex_CheckExact(number))
        return store_real(data, half, number);
    Py_complex value = ((PyComplexObject *)number)->cval;
    if (half == 8) {
        ((double *)data)[0] = value.real;
        ((double *)data)[1] = value.imag;
    } else {
        ((float *)data)[0] = (float)value.real;
        ((float *)data)[1] = (float)value.imag;
    }
    return true;
}

static bool store(void *data, const DtypeRow *row, PyObject *number)
{
    switch (row->dlpack_code) {
    case KIND_BOOL:
        *(bool *)data = number == Py_True;
        return true;
    case KIND_INT:
    case KIND_UINT:
        return store_integer(data, row, number);
    case KIND_FLOAT:
        return row->item_bytes >= 4 && store_real(data, row->item_bytes, number);
    case KIND_COMPLEX:
        return store_complex(data, row->item_bytes, number);
    default:
        return false;
    }
}

Array *array_of_number(PyObject *number, int dtype, bool weak)
{
    Array *array = array_new(dtype, 0, NULL, weak);
    if (array && !store(array->data, &dtype_rows[dtype], number))
        Py_CLEAR(array);
    return array;
}

PyObject *number_of_array(Array *array)
{
    const DtypeRow *row = &dtype_rows[array->dtype];
    int kind = row->dlpack_code, bytes = row->item_bytes;
    bool is_known = kind == KIND_BOOL || (kind <= KIND_FLOAT && (bytes == 4 || bytes == 8));
    const void *data = array->dimensions == 0 && is_known ? array_data(array) : NULL;
    if (!data)
        return NULL;
    if (kind == KIND_BOOL)
        return PyBool_FromLong(*(const uint8_t *)data);
    if (kind == KIND_FLOAT)
        return PyFloat_FromDouble(bytes == 8 ? *(const double *)data : *(const float *)data);
    if (kind == KIND_INT)
        return PyLong_FromLongLong(bytes == 8 ? *(const int64_t *)data : *(const int32_t *)data);
    return PyLong_FromUnsignedLongLong(bytes == 8 ? *(const uint64_t *)data
                                                  : *(const uint32_t *)data);
}

static int code_of(uint8_t kind, uint8_t item_bytes)
{
    for (int code = 0; code < dtype_count; code++)
        if (dtype_rows[code].dlpack_code == kind && dtype_rows[code].item_bytes == item_bytes)
            return code;
    return -1;
}

void numbers_setup(void)
{
    bool_code = code_of(KIND_BOOL, 1);
    for (int wide = 0; wide < 2; wide++) {
        int *codes = wide ? wide_codes : narrow_codes;
        codes[0] = code_of(KIND_INT, wide ? 8 : 4);
        codes[1] = code_of(KIND_FLOAT, wide ? 8 : 4);
        codes[2] = code_of(KIND_COMPLEX, wide ? 16 : 8);
    }
}
