/* Guard: the hidden inputs of a program that depends on values read from Python, found without Python
 * code as long as those values are the same objects.
 *
 * In: what to watch, told after each decision. Out: the hidden inputs; where anything differs or
 * fails, what the function `decide` gives, which looks closer. Must not know what the values are.
 */
#include "dispatch.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *decide;
    PyObject *watched; /* (same, equal, inputs), or NULL as long as nothing is known */
} Guard;

static PyTypeObject *GuardType;
static PyObject *builtin_getattr, *operator_getitem, *name_cell_contents;

/* ---- what a place holds now ---- */

static PyObject *entry_of(PyObject *container, PyObject *key)
{
    if (!PyDict_CheckExact(container))
        return PyObject_GetItem(container, key);
    PyObject *found = PyDict_GetItemWithError(container, key);
    if (!found && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, key);
    return Py_XNewRef(found);
}

/* get(container, key): a new reference, or NULL with an error. */
static PyObject *look(PyObject *get, PyObject *container, PyObject *key)
{
    if (get == operator_getitem)
        return entry_of(container, key);
    if (get == builtin_getattr) {
        bool is_cell = PyCell_Check(container) && key == name_cell_contents;
        PyObject *held = is_cell ? PyCell_GET(container) : NULL;
        return held ? Py_NewRef(held) : PyObject_GetAttr(container, key);
    }
    PyObject *const arguments[] = {container, key};
    return PyObject_Vectorcall(get, arguments, 2, NULL);
}

/* The tuple `check` begins with get, container, key. */
static PyObject *look_at(PyObject *check)
{
    PyObject *const *parts = &PyTuple_GET_ITEM(check, 0);
    return look(parts[0], parts[1], parts[2]);
}

/* ---- checks: 1 if they hold, 0 if not, -1 with an error ---- */

static int are_same(PyObject *checks)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        PyObject *check = PyTuple_GET_ITEM(checks, i);
        PyObject *found = look_at(check);
        if (!found)
            return -1;
        bool same = found == PyTuple_GET_ITEM(check, 3);
        Py_DECREF(found);
        if (!same)
            return 0;
    }
    return 1;
}

static int are_equal(PyObject *checks)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        PyObject *check = PyTuple_GET_ITEM(checks, i);
        PyObject *found = look_at(check);
        int equal = found ? PyObject_RichCompareBool(found, PyTuple_GET_ITEM(check, 3), Py_EQ) : -1;
        Py_XDECREF(found);
        if (equal <= 0)
            return equal;
    }
    return 1;
}

static bool has_shape(const Array *array, PyObject *shape)
{
    if (PyTuple_GET_SIZE(shape) != array->dimensions)
        return false;
    for (int i = 0; i < array->dimensions; i++)
        if (PyLong_AsLongLong(PyTuple_GET_ITEM(shape, i)) != array->shape[i])
            return false;
    return true;
}

/* The Array in all of the places, if it has the type; NULL, perhaps with an error, if not. */
static PyObject *fetched(PyObject *input)
{
    PyObject *dtype, *shape, *places;
    int weak;
    if (!PyArg_ParseTuple(input, "OO!pO!", &dtype, &PyTuple_Type, &shape, &weak, &PyTuple_Type,
                          &places))
        return NULL;
    PyObject *first = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(places); i++) {
        PyObject *found = look_at(PyTuple_GET_ITEM(places, i));
        bool same = found && (found == first || !first);
        Py_XSETREF(first, found);
        if (!same) {
            Py_CLEAR(first);
            return NULL;
        }
    }
    const Array *array = (const Array *)first;
    if (first && ARRAY_CHECK(first) && dtype_rows[array->dtype].dtype == dtype
        && array->weak == weak && has_shape(array, shape))
        return first;
    Py_XDECREF(first);
    return NULL;
}

/* A tuple of the hidden inputs; NULL, perhaps with an error, if one has changed its type. */
static PyObject *fetched_all(PyObject *inputs)
{
    PyObject *result = PyTuple_New(PyTuple_GET_SIZE(inputs));
    for (Py_ssize_t i = 0; result && i < PyTuple_GET_SIZE(inputs); i++) {
        PyObject *input = PyTuple_GET_ITEM(inputs, i);
        PyObject *found = PyTuple_CheckExact(input) ? fetched(input) : Py_NewRef(input);
        if (found)
            PyTuple_SET_ITEM(result, i, found);
        else
            Py_CLEAR(result);
    }
    return result;
}

/* ---- the guard ---- */

bool is_guard(PyObject *object) { return Py_TYPE(object) == GuardType; }

PyObject *guard_now(PyObject *object)
{
    PyObject *watched = Py_XNewRef(((Guard *)object)->watched), *result = NULL;
    if (!watched)
        return NULL;
    if (are_same(PyTuple_GET_ITEM(watched, 0)) > 0 && are_equal(PyTuple_GET_ITEM(watched, 1)) > 0)
        result = fetched_all(PyTuple_GET_ITEM(watched, 2));
    Py_DECREF(watched);
    if (!result)
        clear_error(); /* it is for `decide` to say what that means */
    return result;
}

static PyObject *guard_call(PyObject *self, PyObject *const *arguments, size_t flags,
                            PyObject *names)
{
    (void)arguments;
    if (PyVectorcall_NARGS(flags) || names) {
        PyErr_SetString(PyExc_TypeError, "a Guard takes no arguments");
        return NULL;
    }
    PyObject *result = guard_now(self), *decide = ((Guard *)self)->decide;
    if (!result && !decide && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "the Guard has ended");
    return result || PyErr_Occurred() ? result : PyObject_CallNoArgs(decide);
}

static bool are_tuples_of(PyObject *checks, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        PyObject *check = PyTuple_GET_ITEM(checks, i);
        if (!PyTuple_CheckExact(check) || PyTuple_GET_SIZE(check) != count)
            return false;
    }
    return true;
}

static bool are_inputs(PyObject *inputs)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        PyObject *input = PyTuple_GET_ITEM(inputs, i);
        if (ARRAY_CHECK(input))
            continue;
        if (!PyTuple_CheckExact(input) || PyTuple_GET_SIZE(input) != 4)
            return false;
        PyObject *places = PyTuple_GET_ITEM(input, 3);
        if (!PyTuple_CheckExact(places) || !PyTuple_GET_SIZE(places) || !are_tuples_of(places, 3))
            return false;
    }
    return true;
}

static PyObject *guard_watch(Guard *self, PyObject *args)
{
    PyObject *same, *equal, *inputs;
    if (!PyArg_ParseTuple(args, "O!O!O!:watch", &PyTuple_Type, &same, &PyTuple_Type, &equal,
                          &PyTuple_Type, &inputs))
        return NULL;
    if (!are_tuples_of(same, 4) || !are_tuples_of(equal, 4) || !are_inputs(inputs)) {
        PyErr_SetString(PyExc_TypeError, "watch takes tuples (get, container, key, expected), and "
                                         "Arrays or (dtype, shape, weak, places)");
        return NULL;
    }
    Py_XSETREF(self->watched, Py_NewRef(args));
    Py_RETURN_NONE;
}

static PyObject *guard_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *decide;
    if (keywords && PyDict_GET_SIZE(keywords)) {
        PyErr_SetString(PyExc_TypeError, "a Guard takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:Guard", &decide))
        return NULL;
    Guard *self = (Guard *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = guard_call;
    self->decide = Py_NewRef(decide);
    return (PyObject *)self;
}

static int guard_clear(Guard *self)
{
    Py_CLEAR(self->decide);
    Py_CLEAR(self->watched);
    return 0;
}

static int guard_traverse(Guard *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->decide);
    Py_VISIT(self->watched);
    return 0;
}

static void guard_dealloc(Guard *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    guard_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef guard_methods[] = {
    {"watch", (PyCFunction)guard_watch, METH_VARARGS,
     "watch(same, equal, inputs): as long as get(container, key) is, or equals, expected, for "
     "tuples of these four, the guard gives the inputs: Arrays, and for (dtype, shape, weak, "
     "places) the Array of this type that is in all of the places (get, container, key)."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef guard_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Guard, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot guard_slots[] = {
    {Py_tp_doc, "Guard(decide): the hidden inputs of a program as they are now, or what `decide` "
                "gives where what is watched has changed."},
    {Py_tp_new, guard_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, guard_dealloc},
    {Py_tp_traverse, guard_traverse},
    {Py_tp_clear, guard_clear},
    {Py_tp_methods, guard_methods},
    {Py_tp_members, guard_members},
    {0, NULL},
};

int guard_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Guard",
        .basicsize = sizeof(Guard),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
        .slots = guard_slots,
    };
    builtin_getattr = imported("builtins", "getattr");
    operator_getitem = imported("operator", "getitem");
    name_cell_contents = interned("cell_contents");
    GuardType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!builtin_getattr || !operator_getitem || !name_cell_contents || !GuardType)
        return -1;
    return PyModule_AddObjectRef(module, "Guard", (PyObject *)GuardType);
}
