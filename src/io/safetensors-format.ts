/** What readers and writers of safetensors files agree about: limits, types, sizes. */
import type { TensorSource } from '../core/tensor-source.ts';

/** A safetensors file: its tensors and the strings that its writer left beside them. */
export interface SafetensorsSource extends TensorSource {
  /** The strings of `__metadata__`; empty where the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A longer header is a damaged or hostile file. */
export const MAX_HEADER_BYTES = 100_000_000;

/** The types of each size of an element in bits, in the order in which a writer lays them out (last first). */
const TYPES =
  '8 BOOL,4 F4,6 F6_E2M3 F6_E3M2,8 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ,16 I16 U16 F16 BF16,32 I32 U32 F32,64 C64 F64 I64 U64';

/** Bits of one element, in the same order. */
export const DTYPE_BITS: ReadonlyMap<string, number> = /* @__PURE__ */ new Map(
  /* @__PURE__ */ TYPES.split(',').flatMap(types => {
    const [bits, ...names] = types.split(' ');
    return names.map((name): [string, number] => [name, Number(bits)]);
  }),
);

/** Whether a text holds half of a character that needs two units of UTF-16: it has no form in UTF-8, and readers refuse its escape. */
export function isHalved(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

/** Bits of a tensor; undefined where a product on the way to it is no longer exact, as readers check it in order. */
export function bitsOf(shape: readonly number[], bits: number): number | undefined {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count * bits)) return undefined;
  }
  return count * bits;
}

/** Whether a value is a list of sizes as both JSON and its readers can hold them. */
export function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(v => Number.isSafeInteger(v) && v >= 0);
}
