/* In builds with JITML_FAIL_ALLOCATIONS, for tests: each call that may run out of memory asks first
 * whether it is to fail. Only the core's own calls do, so what other libraries make of a lack of
 * memory is not in the way. Included last; the parenthesised names are the real functions. */
#ifndef JITML_CORE_FAILURES_H
#define JITML_CORE_FAILURES_H

bool allocation_fails(void);

#define OR_NULL(call) (allocation_fails() ? NULL : (call))
#define OR_ERROR(call) (allocation_fails() ? (PyObject *)PyErr_NoMemory() : (call))
#define OR_MINUS(call) (allocation_fails() ? (PyErr_NoMemory(), -1) : (call))

#define PyMem_Malloc(...) OR_NULL((PyMem_Malloc)(__VA_ARGS__))
#define PyMem_Calloc(...) OR_NULL((PyMem_Calloc)(__VA_ARGS__))
#define PyMem_Realloc(...) OR_NULL((PyMem_Realloc)(__VA_ARGS__))
#define PyObject_Malloc(...) OR_NULL((PyObject_Malloc)(__VA_ARGS__))

#define PyBytes_FromStringAndSize(...) OR_ERROR((PyBytes_FromStringAndSize)(__VA_ARGS__))
#define PyCapsule_New(...) OR_ERROR((PyCapsule_New)(__VA_ARGS__))
#define PyDict_New() OR_ERROR((PyDict_New)())
#define PyImport_ImportModule(...) OR_ERROR((PyImport_ImportModule)(__VA_ARGS__))
#define PyList_New(...) OR_ERROR((PyList_New)(__VA_ARGS__))
#define PyLong_FromLong(...) OR_ERROR((PyLong_FromLong)(__VA_ARGS__))
#define PyLong_FromLongLong(...) OR_ERROR((PyLong_FromLongLong)(__VA_ARGS__))
#define PyLong_FromSize_t(...) OR_ERROR((PyLong_FromSize_t)(__VA_ARGS__))
#define PyLong_FromVoidPtr(...) OR_ERROR((PyLong_FromVoidPtr)(__VA_ARGS__))
#define PyObject_Call(...) OR_ERROR((PyObject_Call)(__VA_ARGS__))
#define PyObject_CallNoArgs(...) OR_ERROR((PyObject_CallNoArgs)(__VA_ARGS__))
#define PyObject_CallOneArg(...) OR_ERROR((PyObject_CallOneArg)(__VA_ARGS__))
#define PyObject_CallMethodNoArgs(...) OR_ERROR((PyObject_CallMethodNoArgs)(__VA_ARGS__))
#define PyObject_CallMethodOneArg(...) OR_ERROR((PyObject_CallMethodOneArg)(__VA_ARGS__))
#define PyObject_Format(...) OR_ERROR((PyObject_Format)(__VA_ARGS__))
#define PyObject_GetAttr(...) OR_ERROR((PyObject_GetAttr)(__VA_ARGS__))
#define PyObject_GetAttrString(...) OR_ERROR((PyObject_GetAttrString)(__VA_ARGS__))
#define PyObject_Repr(...) OR_ERROR((PyObject_Repr)(__VA_ARGS__))
#define PyObject_RichCompare(...) OR_ERROR((PyObject_RichCompare)(__VA_ARGS__))
#define PyObject_Str(...) OR_ERROR((PyObject_Str)(__VA_ARGS__))
#define PyObject_Vectorcall(...) OR_ERROR((PyObject_Vectorcall)(__VA_ARGS__))
#define PySequence_Fast(...) OR_ERROR((PySequence_Fast)(__VA_ARGS__))
#define PySequence_GetItem(...) OR_ERROR((PySequence_GetItem)(__VA_ARGS__))
#define PySequence_List(...) OR_ERROR((PySequence_List)(__VA_ARGS__))
#define PySequence_Tuple(...) OR_ERROR((PySequence_Tuple)(__VA_ARGS__))
#define PyTuple_GetSlice(...) OR_ERROR((PyTuple_GetSlice)(__VA_ARGS__))
#define PyTuple_New(...) OR_ERROR((PyTuple_New)(__VA_ARGS__))
#define PyTuple_Pack(...) OR_ERROR((PyTuple_Pack)(__VA_ARGS__))
#define PyType_FromSpec(...) OR_ERROR((PyType_FromSpec)(__VA_ARGS__))
#define PyUnicode_FromFormat(...) OR_ERROR((PyUnicode_FromFormat)(__VA_ARGS__))
#define PyUnicode_FromString(...) OR_ERROR((PyUnicode_FromString)(__VA_ARGS__))
#define PyUnicode_InternFromString(...) OR_ERROR((PyUnicode_InternFromString)(__VA_ARGS__))
#define PyUnicode_Substring(...) OR_ERROR((PyUnicode_Substring)(__VA_ARGS__))

#define PyDict_SetItem(...) OR_MINUS((PyDict_SetItem)(__VA_ARGS__))
#define PyList_Append(...) OR_MINUS((PyList_Append)(__VA_ARGS__))
#define PyModule_AddFunctions(...) OR_MINUS((PyModule_AddFunctions)(__VA_ARGS__))
#define PyModule_AddObjectRef(...) OR_MINUS((PyModule_AddObjectRef)(__VA_ARGS__))
#define PyObject_IsInstance(...) OR_MINUS((PyObject_IsInstance)(__VA_ARGS__))
#define PyObject_SetAttrString(...) OR_MINUS((PyObject_SetAttrString)(__VA_ARGS__))

/* Until Python 3.13 these names are macros. */
#if PY_VERSION_HEX < 0x030D0000
#define REAL(name) _##name##_SizeT
#undef PyObject_CallFunction
#undef PyObject_CallMethod
#undef Py_BuildValue
#else
#define REAL(name) (name)
#endif
#define PyObject_CallFunction(...) OR_ERROR(REAL(PyObject_CallFunction)(__VA_ARGS__))
#define PyObject_CallMethod(...) OR_ERROR(REAL(PyObject_CallMethod)(__VA_ARGS__))
#define Py_BuildValue(...) OR_ERROR(REAL(Py_BuildValue)(__VA_ARGS__))

#endif
