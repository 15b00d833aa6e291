/** What the restricted reader of pickles makes of a file: plain values, descriptions of tensors, and names of the rest. */
import type { StoredDType } from '../core/tensor-source.ts';

/** What a pickle may hold here. Tuples, lists and sets are arrays, dicts are Maps, bytes are Uint8Arrays. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickledTensor
  | PickledStorage
  | PickledName
  | PickledObject
  | Pickled[]
  | Map<Pickled, Pickled>;

/** Bytes that the pickle refers to and that lie elsewhere in the file. */
export class PickledStorage {
  /** Type of the elements; 'U8' where the tensors say it. */
  readonly dtype: StoredDType;
  /** Name of the bytes in the file. */
  readonly key: string;
  /** Length as the pickle gives it. */
  readonly byteLength: number;
  constructor(dtype: StoredDType, key: string, byteLength: number) {
    this.dtype = dtype;
    this.key = key;
    this.byteLength = byteLength;
  }
}

/** A view of a storage; offset and strides count elements. */
export class PickledTensor {
  readonly storage: PickledStorage;
  readonly dtype: StoredDType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  constructor(
    storage: PickledStorage,
    dtype: StoredDType,
    offset: number,
    shape: readonly number[],
    stride: readonly number[],
  ) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

/** A class or function that the pickle names, such as torch.float32 or a callback's class. Nothing stands behind it here. */
export class PickledName {
  /** Module and name, joined by a dot. */
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An object of a class that is not known here: what the pickle says of it, for those who know the class. */
export class PickledObject {
  /** What would be called to make it, in words: a class, or a function such as numpy's scalar. */
  readonly name: string;
  /** The arguments of that call. */
  readonly args: readonly Pickled[];
  /** Its attributes, where the pickle sets any. */
  state: Pickled = null;
  /** The entries of a subclass of dict. */
  entries: Map<Pickled, Pickled> | undefined;
  /** The elements of a subclass of list or set. */
  elements: Pickled[] | undefined;
  constructor(name: string, args: readonly Pickled[]) {
    this.name = name;
    this.args = args;
  }
}

/** torch's dict of parameters is a module: its entries are among its attributes. */
const PARAMETER_DICT = 'torch.nn.modules.container.ParameterDict';

/** The entries of a dict, of an object of a subclass of dict or of a ParameterDict; undefined for everything else. */
export function entriesOf(value: Pickled | undefined): Map<Pickled, Pickled> | undefined {
  if (value instanceof Map) return value;
  if (!(value instanceof PickledObject)) return undefined;
  if (value.name !== PARAMETER_DICT) return value.entries;
  return value.state instanceof Map ? entriesOf(value.state.get('_parameters')) : undefined;
}

/** Bytes of one element by the names of safetensors, and of the types that only torch has. */
const ITEM_BYTES: Readonly<Record<string, number>> = {
  ...{ BOOL: 1, U8: 1, I8: 1, I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, F64: 8, I64: 8, U64: 8 },
  ...{ F8_E5M2: 1, F8_E4M3: 1, F8_E8M0: 1, F8_E4M3FNUZ: 1, F8_E5M2FNUZ: 1, C32: 4, C64: 8, C128: 16 },
  ...{ QI8: 1, QU8: 1, QI32: 4, QU4X2: 1, QU2X4: 1 },
};

/** Bytes of one element. */
export function itemBytes(dtype: StoredDType): number {
  return ITEM_BYTES[dtype] ?? 1;
}

const STORAGES: Readonly<Record<string, StoredDType>> = {
  ...{ Float: 'F32', Half: 'F16', BFloat16: 'BF16', Double: 'F64', Long: 'I64', Int: 'I32', Short: 'I16', Char: 'I8' },
  ...{ Byte: 'U8', Bool: 'BOOL', ComplexFloat: 'C64', ComplexDouble: 'C128', Untyped: 'U8' },
  ...{ QInt8: 'QI8', QUInt8: 'QU8', QInt32: 'QI32', QUInt4x2: 'QU4X2', QUInt2x4: 'QU2X4' },
};

/** Type of the elements of a storage class (`torch.HalfStorage`, `torch.cuda.HalfStorage`); undefined for other names. */
export function storageDType(name: string): StoredDType | undefined {
  const kind = /^torch\.(?:cuda\.|storage\.)?(\w+)Storage$/.exec(name)?.[1];
  return kind !== undefined && Object.hasOwn(STORAGES, kind) ? STORAGES[kind] : undefined;
}

const DTYPES: Readonly<Record<string, StoredDType>> = {
  ...{ float32: 'F32', float16: 'F16', bfloat16: 'BF16', float64: 'F64', int64: 'I64', int32: 'I32', int16: 'I16' },
  ...{ int8: 'I8', uint8: 'U8', bool: 'BOOL', uint16: 'U16', uint32: 'U32', uint64: 'U64' },
  ...{ complex32: 'C32', complex64: 'C64', complex128: 'C128', float8_e8m0fnu: 'F8_E8M0' },
  ...{
    float8_e4m3fn: 'F8_E4M3',
    float8_e5m2: 'F8_E5M2',
    float8_e4m3fnuz: 'F8_E4M3FNUZ',
    float8_e5m2fnuz: 'F8_E5M2FNUZ',
  },
};

/** The type that a name such as torch.float8_e5m2 stands for; undefined for other names. */
export function dtypeOf(name: string): StoredDType | undefined {
  const kind = name.startsWith('torch.') ? name.slice(6) : '';
  return Object.hasOwn(DTYPES, kind) ? DTYPES[kind] : undefined;
}
