"""The loop form's scalar operations in C, by the kind of number: an operation, its operands' texts and their dtype in, an expression out.

Meanings are NumPy's: integers wrap around, `//` and `%` round down and give 0 for a divisor of 0, maximum and minimum hand NaN on, shifts
by more than there are bits leave nothing. What takes more than an expression is a small function, named in `HELPERS`, of which a kernel's
text has those that it uses. Nothing here needs a header, nor that the compiler contracts a product and a sum.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from ir.errors import NotLowered
from ir.kernel import Literal

C_TYPES = {
    "?": "bool", "f4": "float", "f8": "double", "i1": "signed char", "i2": "short", "i4": "int", "i8": "long long",
    "u1": "unsigned char", "u2": "unsigned short", "u4": "unsigned", "u8": "unsigned long long",
}  # fmt: skip
FUNCTIONS = {
    "sqrt": "sqrt", "cbrt": "cbrt", "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10",
    "log1p": "log1p", "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "sinh": "sinh",
    "cosh": "cosh", "tanh": "tanh", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "arctan2": "atan2", "hypot": "hypot",
    "copysign": "copysign", "fmax": "fmax", "fmin": "fmin", "fmod": "fmod", "floor": "floor", "ceil": "ceil", "rint": "rint",
    "trunc": "trunc", "abs": "fabs", "power": "pow",
}  # fmt: skip
COMPARISONS = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="}
WRAPPING = {"add": "+", "subtract": "-", "multiply": "*"}
BITS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}


def code(dtype: np.dtype) -> str:
    """`f4`, `i8`, `?`: kind and size."""
    return "?" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"


def c_type(dtype: np.dtype) -> str:
    """The C type of a value of that dtype; NotLowered for those that have none."""
    found = C_TYPES.get(code(dtype))
    if found is None:
        raise NotLowered(f"generated code has no {dtype} numbers")
    return found


def memory_type(dtype: np.dtype) -> str:
    """The C type of an array's element: a bool is a byte, 0 or 1."""
    return "unsigned char" if dtype.kind == "b" else c_type(dtype)


def number(held: Literal) -> str:
    """A literal in C, to the bit."""
    value, dtype = held.value, held.dtype
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind == "f":
        if np.isfinite(value):
            text = repr(float(value)) if dtype.itemsize == 8 else str(value)
            text = text if re.search(r"[.e]", text) else text + ".0"
            text += "" if dtype.itemsize == 8 else "f"
            return f"({text})" if text.startswith("-") else text
        bits = np.array(value).view(f"u{dtype.itemsize}")[()]
        return f"__int_as_float(0x{bits:08x})" if dtype.itemsize == 4 else f"__longlong_as_double(0x{bits:016x}LL)"
    suffix = {"i8": "LL", "u8": "ULL", "u4": "u"}.get(code(dtype), "")
    if dtype.kind == "i" and value == np.iinfo(dtype).min and dtype.itemsize >= 4:
        return f"(-{np.iinfo(dtype).max}{suffix} - 1)"
    return f"({value}{suffix})" if value < 0 else f"{value}{suffix}"


def expression(op: str, given: Sequence[str], dtype: np.dtype, out: np.dtype, literals: Sequence[Literal | None]) -> str:
    """The C expression of `op` of operands of one `dtype` (of the last, for `where` and casts), which gives `out`.

    Raises NotLowered, by name, for what has none.
    """
    a, b = (*given, "", "")[:2]
    kind = dtype.kind
    if op == "where":
        return f"{given[0]} ? {given[1]} : {given[2]}"
    if op == "cast":
        return f"{a} != 0" if out.kind == "b" else f"({c_type(out)}){a}"
    if op in ("copy", "positive"):
        return a
    if op in COMPARISONS:
        return f"{a} {COMPARISONS[op]} {b}"
    if op.startswith("logical_"):
        return _logical(op, a, b, dtype)
    if op in BITS:
        return _as(out, f"{a} {BITS[op]} {b}")
    if op == "invert":
        return f"!{a}" if kind == "b" else _as(out, f"~{a}")
    make = {"f": _float, "b": _bool, "i": _integer, "u": _integer}.get(kind)
    found = make(op, a, b, dtype, literals) if make is not None else None
    if found is None:
        raise NotLowered(f"{op} of {dtype} has no text in C")
    return found


def combined(combine: str, a: str, b: str, dtype: np.dtype) -> str:
    """Two parts of a reduction joined."""
    return expression(combine, (a, b), dtype, dtype, (None, None))


def _as(dtype: np.dtype, text: str) -> str:
    """The result of arithmetic in C, where small integers become ints, in its own type."""
    return f"({c_type(dtype)})({text})" if dtype.itemsize < 4 and dtype.kind in "iu" else text


def _logical(op: str, a: str, b: str, dtype: np.dtype) -> str:
    a, b = (a, b) if dtype.kind == "b" else (f"({a} != 0)", f"({b} != 0)")
    return {"logical_and": f"{a} && {b}", "logical_or": f"{a} || {b}", "logical_xor": f"{a} != {b}", "logical_not": f"!{a}"}[op]


def _bool(op: str, a: str, b: str, dtype: np.dtype, literals: Sequence[Literal | None]) -> str | None:
    if op in ("add", "maximum", "fmax"):
        return f"{a} || {b}"
    if op in ("multiply", "minimum", "fmin"):
        return f"{a} && {b}"
    if op == "abs" or op in ("floor", "ceil", "rint", "trunc", "square"):
        return a
    return {"isnan": "false", "isinf": "false", "isfinite": "true"}.get(op)


def _float(op: str, a: str, b: str, dtype: np.dtype, literals: Sequence[Literal | None]) -> str | None:
    t = code(dtype)
    f = "f" if dtype.itemsize == 4 else ""
    infinity = number(Literal(dtype, np.array(np.inf, dtype).tobytes()))
    if op in WRAPPING:
        return f"{a} {WRAPPING[op]} {b}"
    if op == "power" and literals[1] is not None and literals[1].value in (1.0, 2.0, 3.0, 0.5, -1.0):
        return {1.0: a, 2.0: f"{a} * {a}", 3.0: f"{a} * {a} * {a}", 0.5: None, -1.0: f"1.0{f} / {a}"}[
            float(literals[1].value)
        ] or f"pow{f}({a}, {b})"
    if op in FUNCTIONS:
        return f"{FUNCTIONS[op]}{f}({', '.join([v for v in (a, b) if v])})"
    if op in ("floor_divide", "remainder", "logaddexp", "logaddexp2"):
        return f"{op}_{t}({a}, {b})"
    return {
        "divide": f"{a} / {b}", "negative": f"-{a}", "square": f"{a} * {a}", "reciprocal": f"1.0{f} / {a}",
        "maximum": f"({a} > {b} || {a} != {a}) ? {a} : {b}", "minimum": f"({a} < {b} || {a} != {a}) ? {a} : {b}",
        "sign": f"{a} > 0 ? 1.0{f} : {a} < 0 ? -1.0{f} : {a} == 0 ? 0.0{f} : {a}", "sigmoid": f"sigmoid_{t}({a})",
        "isnan": f"{a} != {a}", "isinf": f"fabs{f}({a}) == {infinity}", "isfinite": f"fabs{f}({a}) < {infinity}",
        "signbit": f"__float_as_int({a}) < 0" if f else f"__double_as_longlong({a}) < 0",
    }.get(op)  # fmt: skip


def _integer(op: str, a: str, b: str, dtype: np.dtype, literals: Sequence[Literal | None]) -> str | None:
    t, wide = code(dtype), "unsigned long long" if dtype.itemsize == 8 else "unsigned"
    signed, own = dtype.kind == "i", c_type(dtype)
    if op in WRAPPING:
        whole = f"({wide}){a} {WRAPPING[op]} ({wide}){b}"
        return f"({own})({whole})" if signed or dtype.itemsize < 4 else f"{a} {WRAPPING[op]} {b}"
    if op in ("floor_divide", "remainder", "fmod", "left_shift", "right_shift"):
        return f"{op}_{t}({a}, {b})"
    if op == "power":
        if signed and (literals[1] is None or literals[1].value < 0):
            return None  # NumPy raises for a negative exponent
        return f"power_{t}({a}, {b})"
    if op in ("maximum", "fmax", "minimum", "fmin"):
        return f"{a} {'>' if op in ('maximum', 'fmax') else '<'} {b} ? {a} : {b}"
    if op in ("floor", "ceil", "rint", "trunc"):
        return a
    return {
        "negative": f"({own})(0 - ({wide}){a})", "square": f"({own})(({wide}){a} * ({wide}){a})",
        "abs": f"{a} < 0 ? ({own})(0 - ({wide}){a}) : {a}" if signed else a,
        "sign": f"({own})(({a} > 0) - ({a} < 0))" if signed else f"({own})({a} > 0)", "reciprocal": f"reciprocal_{t}({a})",
        "isnan": "false", "isinf": "false", "isfinite": "true", "signbit": f"{a} < 0" if signed else "false",
    }.get(op)  # fmt: skip


# ---- functions, by name; T is the C type, F the suffix of C's maths, U the unsigned type to wrap around in, BITS its width
HELPERS: dict[str, str] = {
    "sigmoid": """\
__device__ T sigmoid_N(T x) {
  const T e = expF(-fabsF(x));
  return (x >= 0 ? ONE : x < 0 ? e : x) / (ONE + e);
}""",
    "logaddexp": """\
__device__ T logaddexp_N(T a, T b) {
  if (a == b) return a + (T)0.693147180559945309417232121458;
  const T d = a - b;
  return d > 0 ? a + log1pF(expF(-d)) : d <= 0 ? b + log1pF(expF(d)) : d;
}""",
    "logaddexp2": """\
__device__ T logaddexp2_N(T a, T b) {
  if (a == b) return a + ONE;
  const T d = a - b, over = (T)1.44269504088896340735992468100;
  return d > 0 ? a + over * log1pF(exp2F(-d)) : d <= 0 ? b + over * log1pF(exp2F(d)) : d;
}""",
    "remainder_float": """\
__device__ T remainder_N(T a, T b) {
  T m = fmodF(a, b);
  if (m == 0) m = copysignF(m, b);
  else if ((b < 0) != (m < 0)) m += b;
  return m;
}""",
    "floor_divide_float": """\
__device__ T floor_divide_N(T a, T b) {
  const T m = fmodF(a, b);
  if (b == 0) return a / b;
  T d = (a - m) / b;
  if (m != 0 && (b < 0) != (m < 0)) d -= ONE;
  if (d == 0) return copysignF((T)0, a / b);
  T low = floorF(d);
  if (d - low > (T)0.5) low += ONE;
  return low;
}""",
    "remainder": """\
__device__ T remainder_N(T a, T b) {
  if (b == 0 || b == (T)-1 && (T)-1 < 0) return 0;
  const T m = a % b;
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}""",
    "floor_divide": """\
__device__ T floor_divide_N(T a, T b) {
  if (b == 0) return 0;
  if (b == (T)-1 && (T)-1 < 0) return (T)(0 - (U)a);
  const T q = a / b;
  return q * b != a && (b < 0) != (a < 0) ? q - 1 : q;
}""",
    "fmod": """\
__device__ T fmod_N(T a, T b) {
  return b == 0 || b == (T)-1 && (T)-1 < 0 ? 0 : a % b;
}""",
    "reciprocal": """\
__device__ T reciprocal_N(T a) {
  return a != 0 ? 1 / a : BITS >= 32 && (T)-1 < 0 ? (T)((U)1 << (BITS - 1)) : 0;
}""",
    "left_shift": """\
__device__ T left_shift_N(T a, T b) {
  return (U)b < BITS ? (T)((U)a << b) : 0;
}""",
    "right_shift": """\
__device__ T right_shift_N(T a, T b) {
  return (U)b < BITS ? (T)(a >> b) : a < 0 ? (T)-1 : 0;
}""",
    "power": """\
__device__ T power_N(T a, T n) {
  U r = 1, x = a;
  for (U k = n; k; k >>= 1, x *= x) if (k & 1) r *= x;
  return (T)r;
}""",
    "floordiv": """\
__device__ T floordiv_N(T a, T n) {
  return a >= 0 ? a / n : -((n - 1 - a) / n);
}""",
    "floormod": """\
__device__ T floormod_N(T a, T n) {
  const T m = a % n;
  return m < 0 ? m + n : m;
}""",
}
_CALLS = re.compile(r"\b([a-z_]+?2?)_((?:f|i|u)[1248])\(")


def helpers(text: str) -> list[str]:
    """The functions that a text calls, each once, in the order of the table and then of dtypes."""
    found: set[tuple[str, str]] = set(_CALLS.findall(text))
    made = []
    for name, body in HELPERS.items():
        base = name.removesuffix("_float")
        for t in sorted({t for called, t in found if called == base}):
            if base + "_float" in HELPERS and (t[0] == "f") != name.endswith("_float"):
                continue
            made.append(_filled(body, t))
    return made


def _filled(body: str, t: str) -> str:
    wide = {"f4": "float", "f8": "double"}.get(t) or ("unsigned long long" if t[1] == "8" else "unsigned")
    words: dict[str, str] = {
        "T": C_TYPES[t], "U": wide, "BITS": str(8 * int(t[1])), "ONE": "1.0f" if t == "f4" else "1.0", "N": t,
    }
    suffix = "f" if t == "f4" else ""
    body = re.sub(r"(?<=[a-z0-9])F(?=\()", suffix, body)
    body = re.sub(r"_N\(", f"_{t}(", body)
    return re.sub(r"\b(T|U|BITS|ONE)\b", lambda m: words[m[0]], body)


Text = Callable[[str], str]
