# prelude.py: the part of pmt that is better said in Python. It is built into libpmt.so, and compiled at the first use of one
# of its names, once an interpreter, in a namespace of its own. Python 3.6 must be able to read it. The builtins MEMPOINT,
# MEMLOGS, MEMPRINT and MEMTRACE (pyhooks/module.c) are there.
import collections
import functools
import sys
import types

MemLog = collections.namedtuple('MemLog', 'ID memory')
MemLog.__doc__ = 'A point of MEMLOGS: its ID, and the live bytes of Python\'s allocators.'
MemLog.__module__ = 'pmt'

Live = collections.namedtuple('Live', 'python native total blocks')
Live.__module__ = 'pmt'

_point, _logs, _print, _trace = MEMPOINT, MEMLOGS, MEMPRINT, MEMTRACE


def filter_logs(predicate):
    return [log for log in _logs.data if predicate(log)]


def map_logs(func):
    return [func(log) for log in _logs.data]


def _write(text):
    try:
        stream = sys.stdout
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, 'encoding', None) or 'ascii'
            stream.write(text.encode(encoding, 'replace').decode(encoding, 'replace'))
    except Exception:  # closed, None, or not a stream: a print that fails must not end the program
        pass


def memprint():
    for i, log in enumerate(_logs.data):
        _write('{0: < 4} {1: <6} \u2192 {2}\n'.format(i, round(log.memory / 2**20, 1), log.ID))


def pp(*objects):
    """Prints each object as pprint does; MEMLOGS with a MemLog a line."""
    for item in objects:
        if item is _logs:
            _write('[' + ',\n '.join(map(repr, item.data)) + ']\n')
        else:
            import pprint  # brings 2 MB of modules from 3.10 on
            pprint.pprint(item)


class label:
    """label(name): a context manager, and a decorator; what the thread allocates inside carries the name.

    Labels nest, the innermost counts. A label is the thread's: what other tasks of an event loop do during an await
    inside of it carries it too."""

    def __init__(self, name):
        self.name = name
        self._before = []

    def __enter__(self):
        import pmt
        self._before.append(pmt._enter_label(self.name))
        return self

    def __exit__(self, *unused):
        import pmt
        pmt._leave_label(self._before.pop())

    def __call__(self, func):
        @functools.wraps(func)
        def labelled(*args, **kwargs):
            with type(self)(self.name):
                return func(*args, **kwargs)
        return labelled


label.__module__ = 'pmt'


def _name(func):
    inner = getattr(func, 'func', None)  # functools.partial
    return getattr(func, '__name__', None) or (_name(inner) if inner is not None else type(func).__name__)


def _trace_async_generator(func, before, after):
    @functools.wraps(func)
    async def traced(*args, **kwargs):
        _point(before)
        generator = func(*args, **kwargs)
        try:
            item = await generator.__anext__()
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:
                    item = await generator.athrow(error)
                else:
                    item = await generator.asend(sent)
        except StopAsyncIteration:
            pass
        finally:
            _point(after)
    return traced


def _trace_coroutine(func, before, after):
    @functools.wraps(func)
    async def traced(*args, **kwargs):
        _point(before)
        try:
            return await func(*args, **kwargs)
        finally:
            _point(after)
    return traced


def _trace_generator(func, before, after):
    @functools.wraps(func)
    def traced(*args, **kwargs):
        _point(before)
        try:
            return (yield from func(*args, **kwargs))
        finally:
            _point(after)
    return traced


def _trace_call(func, before, after):
    @functools.wraps(func)
    def traced(*args, **kwargs):
        _point(before)
        try:
            return func(*args, **kwargs)
        finally:
            _point(after)
    return traced


def _trace_class(cls, before, after):
    """The class stays a class: its instances are traced while they are initialised."""
    initialise = cls.__init__
    if initialise is object.__init__:  # once it is replaced, it takes the arguments of __new__ for wrong
        def initialise(self, *args, **kwargs):
            if type(self).__new__ is object.__new__:
                object.__init__(self, *args, **kwargs)
    try:
        cls.__init__ = _trace_call(initialise, before, after)
    except TypeError:  # a class of C
        return _trace_call(cls, before, after)
    return cls


# By the flags of the code object (Include/code.h): generator, coroutine, generator-based coroutine, async generator.
_KINDS = ((0x200, _trace_async_generator), (0x80, _trace_coroutine), (0x20, _trace_generator))


def _flags(func):
    while isinstance(func, functools.partial):
        func = func.func
    code = getattr(func, '__code__', None) or getattr(getattr(type(func), '__call__', None), '__code__', None)
    return getattr(code, 'co_flags', 0)


def memtrace(func, ID_before=None, ID_after=None):
    if isinstance(func, (classmethod, staticmethod)):
        return type(func)(memtrace(func.__func__, ID_before, ID_after))
    if isinstance(func, property):
        parts = [part and memtrace(part, ID_before, ID_after) for part in (func.fget, func.fset, func.fdel)]
        return property(*parts, doc=func.__doc__)
    if not callable(func):
        raise TypeError('MEMTRACE takes a callable, not ' + type(func).__name__)
    name = _name(func)
    before = 'Before ' + name + '()' if ID_before is None else ID_before
    after = 'After ' + name + '()' if ID_after is None else ID_after
    if isinstance(func, type):
        return _trace_class(func, before, after)
    flags = _flags(func)
    for flag, trace in _KINDS:
        if flags & flag:
            traced = trace(func, before, after)
            return types.coroutine(traced) if flags & 0x100 else traced
    return _trace_call(func, before, after)


# ---- packages that pmt stands in for

def _new_perftester(name):
    import pmt
    pmt._rename_first_point()
    pmt.MemLogsList.__module__ = MemLog.__module__ = pmt.IncorrectUseOfMEMLOGSError.__module__ = 'perftester.perftester'
    package, module = types.ModuleType(name), types.ModuleType(name + '.perftester')
    names = ('MemLog', 'MemLogsList', 'IncorrectUseOfMEMLOGSError', 'MEMLOGS', 'MEMPOINT', 'MEMPRINT', 'MEMTRACE', 'pp')
    for target in (package, module):
        for attribute in names:
            setattr(target, attribute, getattr(pmt, attribute))
    package.__path__ = []
    package.__package__ = module.__package__ = name
    package.perftester = sys.modules[module.__name__] = module
    return package


_PACKAGES = {'perftester': _new_perftester}


def load_package(spec):
    """The module for a spec that names us: that of an installed package, or our own."""
    builtin = type(spec.loader) if not isinstance(spec.loader, type) else spec.loader
    for finder in sys.meta_path:
        installed = finder.find_spec(spec.name, None) if finder is not builtin and hasattr(finder, 'find_spec') else None
        if installed is not None and installed.loader is not None:
            from importlib.util import module_from_spec
            module = sys.modules[spec.name] = module_from_spec(installed)
            installed.loader.exec_module(module)
            return module
    return _PACKAGES[spec.name](spec.name)
