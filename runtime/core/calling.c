/* How calls go on this thread: whether they may take the short way through the tables of compiled
 * programs, and how wide the arrays of Python numbers are.
 *
 * In: what is set from above. Out: `calling`. Must not know what a recorder records.
 */
#include "core.h"

#include <structmember.h>

THREAD_LOCAL Calling calling;
bool wide_everywhere, checked_everywhere;

static PyObject *get_recorder(PyObject *self, void *unused)
{
    (void)self, (void)unused;
    return Py_NewRef(calling.recorder ? calling.recorder : Py_None);
}

static int set_recorder(PyObject *self, PyObject *value, void *unused)
{
    (void)self, (void)unused;
    PyObject *before = calling.recorder;
    calling.recorder = value && value != Py_None ? Py_NewRef(value) : NULL;
    Py_XDECREF(before);
    return 0;
}

static PyObject *get_is_off(PyObject *self, void *unused)
{
    (void)self, (void)unused;
    return PyBool_FromLong(calling.is_off);
}

static int truth_of(PyObject *value)
{
    if (value)
        return PyObject_IsTrue(value);
    PyErr_SetString(PyExc_AttributeError, "it cannot be deleted");
    return -1;
}

static int set_is_off(PyObject *self, PyObject *value, void *unused)
{
    (void)self, (void)unused;
    int truth = truth_of(value);
    if (truth >= 0)
        calling.is_off = truth;
    return truth < 0 ? -1 : 0;
}

static PyObject *get_is_checked(PyObject *self, void *everywhere)
{
    (void)self;
    return PyBool_FromLong(everywhere ? checked_everywhere : calling.is_checked);
}

static int set_is_checked(PyObject *self, PyObject *value, void *everywhere)
{
    (void)self;
    int truth = truth_of(value);
    if (truth >= 0)
        *(everywhere ? &checked_everywhere : &calling.is_checked) = truth;
    return truth < 0 ? -1 : 0;
}

static PyObject *get_wide(PyObject *self, void *unused)
{
    (void)self, (void)unused;
    if (calling.width == WIDTH_OF_PROCESS)
        Py_RETURN_NONE;
    return PyBool_FromLong(calling.width == WIDTH_WIDE);
}

static int set_wide(PyObject *self, PyObject *value, void *unused)
{
    (void)self, (void)unused;
    if (value == Py_None) {
        calling.width = WIDTH_OF_PROCESS;
        return 0;
    }
    int truth = truth_of(value);
    if (truth >= 0)
        calling.width = truth ? WIDTH_WIDE : WIDTH_NARROW;
    return truth < 0 ? -1 : 0;
}

static PyObject *get_wide_everywhere(PyObject *self, void *unused)
{
    (void)self, (void)unused;
    return PyBool_FromLong(wide_everywhere);
}

static int set_wide_everywhere(PyObject *self, PyObject *value, void *unused)
{
    (void)self, (void)unused;
    int truth = truth_of(value);
    if (truth >= 0)
        wide_everywhere = truth;
    return truth < 0 ? -1 : 0;
}

static PyObject *get_is_wide(PyObject *self, void *unused)
{
    (void)self, (void)unused;
    return PyBool_FromLong(numbers_are_wide());
}

static PyGetSetDef calling_attributes[] = {
    {"recorder", get_recorder, set_recorder,
     "What records operations on this thread, or None: then compiled programs run.", NULL},
    {"is_off", get_is_off, set_is_off, "Whether this thread runs no compiled functions.", NULL},
    {"is_checked", get_is_checked, set_is_checked,
     "Whether results are looked through on this thread: then no call takes the short way.", NULL},
    {"checked_everywhere", get_is_checked, set_is_checked,
     "Whether they are so on all threads.", &checked_everywhere},
    {"wide", get_wide, set_wide,
     "Whether Python numbers are 64 bits wide on this thread; None: as everywhere.", NULL},
    {"wide_everywhere", get_wide_everywhere, set_wide_everywhere,
     "Whether they are so in threads that do not say otherwise.", NULL},
    {"is_wide", get_is_wide, NULL, "Whether Python numbers are 64 bits wide here.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot calling_slots[] = {
    {Py_tp_doc, "How calls go on the thread that asks."},
    {Py_tp_getset, calling_attributes},
    {0, NULL},
};

int calling_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Calling",
        .basicsize = sizeof(PyObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = calling_slots,
    };
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(&spec);
    PyObject *only = type ? PyType_GenericAlloc(type, 0) : NULL;
    Py_XDECREF(type);
    int failed = only ? PyModule_AddObjectRef(module, "calling", only) : -1;
    Py_XDECREF(only);
    return failed;
}
