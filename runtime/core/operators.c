/* Number, comparison and subscript slots of Array, filled from above.
 *
 * In: a table of Python functions by name (`set_operators`). Out: C slots that call them with the
 * operands in the order of the expression.
 * Conversions to Python numbers are NumPy's.
 * Must not know what an operator means.
 */
#include "core.h"

#define BINARY(X) \
    X(add) X(subtract) X(multiply) X(divide) X(floor_divide) X(remainder) X(divmod) X(matmul) \
    X(bitwise_and) X(bitwise_or) X(bitwise_xor) X(left_shift) X(right_shift) \
    X(less) X(less_equal) X(equal) X(not_equal) X(greater) X(greater_equal) X(getitem) X(contains)
#define UNARY(X) X(negative) X(positive) X(absolute) X(invert) X(repr) X(str) X(iter)

#define AS_NUMBER(name) OPERATOR_##name,
#define AS_STRING(name) #name,
enum { BINARY(AS_NUMBER) UNARY(AS_NUMBER) OPERATOR_power, OPERATOR_COUNT };
static const char *const names[] = {BINARY(AS_STRING) UNARY(AS_STRING) "power"};
static PyObject *functions[OPERATOR_COUNT];
static PyObject *immutable_message;

static PyObject *call_binary(int number, PyObject *left, PyObject *right)
{
    PyObject *function = functions[number];
    if (!function)
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *arguments[] = {NULL, left, right};
    Py_INCREF(function); /* set_operators may replace it meanwhile */
    PyObject *result = PyObject_Vectorcall(function, arguments + 1,
                                           2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(function);
    return result;
}

static PyObject *call_unary(int number, PyObject *operand)
{
    PyObject *function = functions[number];
    if (!function) {
        PyErr_Format(PyExc_TypeError, "operator %s is not installed for Array", names[number]);
        return NULL;
    }
    Py_INCREF(function);
    PyObject *result = PyObject_CallOneArg(function, operand);
    Py_DECREF(function);
    return result;
}

#define DEFINE_BINARY(name)                                              \
    static PyObject *slot_##name(PyObject *left, PyObject *right)        \
    {                                                                    \
        return call_binary(OPERATOR_##name, left, right);                \
    }
#define DEFINE_UNARY(name)                                               \
    static PyObject *slot_##name(PyObject *operand)                      \
    {                                                                    \
        return call_unary(OPERATOR_##name, operand);                     \
    }
DEFINE_BINARY(add) DEFINE_BINARY(subtract) DEFINE_BINARY(multiply) DEFINE_BINARY(divide)
DEFINE_BINARY(floor_divide) DEFINE_BINARY(remainder) DEFINE_BINARY(divmod) DEFINE_BINARY(matmul)
DEFINE_BINARY(bitwise_and) DEFINE_BINARY(bitwise_or) DEFINE_BINARY(bitwise_xor)
DEFINE_BINARY(left_shift) DEFINE_BINARY(right_shift)
DEFINE_UNARY(negative) DEFINE_UNARY(positive) DEFINE_UNARY(absolute) DEFINE_UNARY(invert)
DEFINE_UNARY(iter)

static PyObject *slot_power(PyObject *left, PyObject *right, PyObject *modulus)
{
    if (modulus != Py_None)
        Py_RETURN_NOTIMPLEMENTED;
    return call_binary(OPERATOR_power, left, right);
}

static PyObject *slot_getitem(PyObject *array, PyObject *index)
{
    if (!functions[OPERATOR_getitem]) {
        PyErr_SetString(PyExc_TypeError, "operator getitem is not installed for Array");
        return NULL;
    }
    return call_binary(OPERATOR_getitem, array, index);
}

static int slot_setitem(PyObject *array, PyObject *index, PyObject *value)
{
    (void)array, (void)index, (void)value;
    PyErr_SetObject(PyExc_TypeError, immutable_message);
    return -1;
}

static int slot_contains(PyObject *array, PyObject *value)
{
    if (!functions[OPERATOR_contains]) {
        PyErr_SetString(PyExc_TypeError, "operator contains is not installed for Array");
        return -1;
    }
    PyObject *result = call_binary(OPERATOR_contains, array, value);
    int truth = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    return truth;
}

static PyObject *slot_compare(PyObject *left, PyObject *right, int comparison)
{
    static const int numbers[] = {
        [Py_LT] = OPERATOR_less,       [Py_LE] = OPERATOR_less_equal,
        [Py_EQ] = OPERATOR_equal,      [Py_NE] = OPERATOR_not_equal,
        [Py_GT] = OPERATOR_greater,    [Py_GE] = OPERATOR_greater_equal,
    };
    return call_binary(numbers[comparison], left, right);
}

/* What `convert` makes of a new reference, which is given up; NULL of NULL. */
static PyObject *converted(PyObject *source, PyObject *(*convert)(PyObject *))
{
    PyObject *result = source ? convert(source) : NULL;
    Py_XDECREF(source);
    return result;
}

/* ---- text ---- */

/* NumPy's text of the values, with our name in front. */
static PyObject *plain_repr(PyObject *self)
{
    PyObject *text = converted(array_to_numpy((Array *)self), PyObject_Repr);
    if (!text)
        return NULL;
    PyObject *rest = PyUnicode_Substring(text, 1, PY_SSIZE_T_MAX); /* without the a of array( */
    PyObject *result = rest ? PyUnicode_FromFormat("A%U", rest) : NULL;
    Py_XDECREF(rest);
    Py_DECREF(text);
    return result;
}

static PyObject *slot_repr(PyObject *self)
{
    if (functions[OPERATOR_repr])
        return call_unary(OPERATOR_repr, self);
    if (((Array *)self)->deleted)
        return PyUnicode_FromString("<deleted Array>");
    return plain_repr(self);
}

static PyObject *slot_str(PyObject *self)
{
    if (functions[OPERATOR_str])
        return call_unary(OPERATOR_str, self);
    if (((Array *)self)->deleted)
        return PyUnicode_FromString("<deleted Array>");
    return converted(array_to_numpy((Array *)self), PyObject_Str);
}

/* ---- conversions to Python numbers, with NumPy's rules and errors ---- */

/* A Python number of an array of one, where that is quick; else NumPy's view. */
static PyObject *scalar_or_view(Array *self)
{
    PyObject *number = number_of_array(self);
    return number || PyErr_Occurred() ? number : array_to_numpy(self);
}

static PyObject *through_number(PyObject *self, PyObject *(*convert)(PyObject *))
{
    return converted(scalar_or_view((Array *)self), convert);
}

static PyObject *slot_int(PyObject *self) { return through_number(self, PyNumber_Long); }
static PyObject *slot_float(PyObject *self) { return through_number(self, PyNumber_Float); }

static PyObject *slot_index(PyObject *self) /* of no bool and no float: the view refuses them */
{
    return converted(array_to_numpy((Array *)self), PyNumber_Index);
}

static int slot_bool(PyObject *self)
{
    PyObject *view = scalar_or_view((Array *)self);
    int truth = view ? PyObject_IsTrue(view) : -1;
    Py_XDECREF(view);
    return truth;
}

static PyObject *to_complex(PyObject *view)
{
    return PyObject_CallOneArg((PyObject *)&PyComplex_Type, view);
}

PyObject *array_dunder_complex(PyObject *self, PyObject *unused)
{
    (void)unused;
    return through_number(self, to_complex);
}

/* With a format only numbers make sense: NumPy formats arrays without axes, and refuses others. */
PyObject *array_dunder_format(PyObject *self, PyObject *format)
{
    if (PyUnicode_Check(format) && PyUnicode_GET_LENGTH(format) == 0)
        return PyObject_Str(self);
    PyObject *view = array_to_numpy((Array *)self);
    PyObject *text = view ? PyObject_Format(view, format) : NULL;
    Py_XDECREF(view);
    return text;
}

PyType_Slot operator_slots[] = {
    {Py_nb_add, slot_add}, {Py_nb_subtract, slot_subtract}, {Py_nb_multiply, slot_multiply},
    {Py_nb_true_divide, slot_divide}, {Py_nb_floor_divide, slot_floor_divide},
    {Py_nb_remainder, slot_remainder}, {Py_nb_divmod, slot_divmod}, {Py_nb_power, slot_power},
    {Py_nb_matrix_multiply, slot_matmul}, {Py_nb_and, slot_bitwise_and},
    {Py_nb_or, slot_bitwise_or}, {Py_nb_xor, slot_bitwise_xor}, {Py_nb_lshift, slot_left_shift},
    {Py_nb_rshift, slot_right_shift}, {Py_nb_negative, slot_negative},
    {Py_nb_positive, slot_positive}, {Py_nb_absolute, slot_absolute},
    {Py_nb_invert, slot_invert}, {Py_nb_bool, slot_bool}, {Py_nb_int, slot_int},
    {Py_nb_float, slot_float}, {Py_nb_index, slot_index}, {Py_tp_richcompare, slot_compare},
    {Py_mp_subscript, slot_getitem}, {Py_mp_ass_subscript, slot_setitem},
    {Py_sq_contains, slot_contains}, {Py_tp_iter, slot_iter}, {Py_tp_repr, slot_repr},
    {Py_tp_str, slot_str}, {0, NULL},
};

PyObject *set_operators(PyObject *module, PyObject *table)
{
    (void)module;
    if (!PyDict_Check(table)) {
        PyErr_SetString(PyExc_TypeError, "set_operators needs a dict of functions by name");
        return NULL;
    }
    PyObject *key, *value, *before = PyDict_New();
    for (Py_ssize_t at = 0; before && PyDict_Next(table, &at, &key, &value);) {
        int found = -1;
        for (int number = 0; number < OPERATOR_COUNT && PyUnicode_Check(key); number++)
            if (PyUnicode_CompareWithASCIIString(key, names[number]) == 0)
                found = number;
        if (found < 0 || !(value == Py_None || PyCallable_Check(value))) {
            PyErr_Format(PyExc_ValueError, "%R: %R is no operator and function", key, value);
            Py_CLEAR(before);
            break;
        }
        PyObject *old = functions[found];
        if (PyDict_SetItem(before, key, old ? old : Py_None) < 0) {
            Py_CLEAR(before);
            break;
        }
        functions[found] = value == Py_None ? NULL : Py_NewRef(value);
        Py_XDECREF(old); /* not the last reference: `before` holds one */
    }
    return before;
}

int operators_setup(void)
{
    immutable_message = imported("jitml_runtime.errors", "IMMUTABLE");
    return immutable_message ? 0 : -1;
}
