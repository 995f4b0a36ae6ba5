/* Shortcut: a function of an array whose simplest cases the runtime knows itself.
 *
 * In: `quick`, which gives None for what is no such case, and the function. Out: what `quick`
 * gives, unless a trace records; else what the function gives. Must not know what either does.
 */
#include "core.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *quick, *function;
} Shortcut;

static PyObject *shortcut_call(Shortcut *self, PyObject *const *arguments, size_t flags,
                               PyObject *names)
{
    if (!calling.recorder && !names) {
        PyObject *found = PyObject_Vectorcall(self->quick, arguments, flags, NULL);
        if (found != Py_None)
            return found;
        Py_DECREF(found);
    }
    return PyObject_Vectorcall(self->function, arguments, flags, names);
}

static PyObject *shortcut_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *quick, *function;
    if (keywords && PyDict_GET_SIZE(keywords)) {
        PyErr_SetString(PyExc_TypeError, "a Shortcut takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OO:Shortcut", &quick, &function))
        return NULL;
    Shortcut *self = (Shortcut *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = (vectorcallfunc)shortcut_call;
    self->quick = Py_NewRef(quick);
    self->function = Py_NewRef(function);
    return (PyObject *)self;
}

static int shortcut_traverse(Shortcut *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->quick);
    Py_VISIT(self->function);
    return 0;
}

static void shortcut_dealloc(Shortcut *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(self->quick);
    Py_DECREF(self->function);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *ask_function(PyObject *self, void *name)
{
    return PyObject_GetAttrString(((Shortcut *)self)->function, name);
}

static PyMemberDef shortcut_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Shortcut, vectorcall), READONLY, NULL},
    {"__wrapped__", T_OBJECT, offsetof(Shortcut, function), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef shortcut_attributes[] = {
    {"__name__", ask_function, NULL, NULL, "__name__"},
    {"__qualname__", ask_function, NULL, NULL, "__qualname__"},
    {"__module__", ask_function, NULL, NULL, "__module__"},
    {"__doc__", ask_function, NULL, NULL, "__doc__"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot shortcut_slots[] = {
    {Py_tp_new, shortcut_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, shortcut_dealloc},
    {Py_tp_traverse, shortcut_traverse},
    {Py_tp_getset, shortcut_attributes},
    {Py_tp_descr_get, bind_as_method},
    {Py_tp_members, shortcut_members},
    {0, NULL},
};

int shortcut_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Shortcut",
        .basicsize = sizeof(Shortcut),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
               | Py_TPFLAGS_METHOD_DESCRIPTOR,
        .slots = shortcut_slots,
    };
    PyObject *type = PyType_FromSpec(&spec);
    return type ? PyModule_AddObjectRef(module, "Shortcut", type) : -1;
}
