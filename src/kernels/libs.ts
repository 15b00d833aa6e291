/** The library texts that kernels append: storage forms by role, and shared functions. */
import activation from '../../wgsl/lib/activation.wgsl';
import epilogue from '../../wgsl/lib/epilogue.wgsl';
import gemm from '../../wgsl/lib/gemm.wgsl';
import halfSlab from '../../wgsl/lib/half-slab.wgsl';
import inputF16 from '../../wgsl/lib/input-f16.wgsl';
import inputF16Packed from '../../wgsl/lib/input-f16-packed.wgsl';
import inputF32 from '../../wgsl/lib/input-f32.wgsl';
import moments from '../../wgsl/lib/moments.wgsl';
import momentsNone from '../../wgsl/lib/moments-none.wgsl';
import normalize from '../../wgsl/lib/normalize.wgsl';
import normalizeNone from '../../wgsl/lib/normalize-none.wgsl';
import outputF16 from '../../wgsl/lib/output-f16.wgsl';
import outputF16Packed from '../../wgsl/lib/output-f16-packed.wgsl';
import outputF32 from '../../wgsl/lib/output-f32.wgsl';
import weightBf16Packed from '../../wgsl/lib/weight-bf16-packed.wgsl';
import weightF16 from '../../wgsl/lib/weight-f16.wgsl';
import weightF16Packed from '../../wgsl/lib/weight-f16-packed.wgsl';
import weightF32 from '../../wgsl/lib/weight-f32.wgsl';
import { DTypeError } from '../core/errors.ts';
import type { MatrixUnits } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import type { Storage } from './kernel.ts';

const INPUT: Partial<Record<Storage, string>> = { f32: inputF32, f16: inputF16, 'f16-packed': inputF16Packed };
const OUTPUT: Partial<Record<Storage, string>> = { f32: outputF32, f16: outputF16, 'f16-packed': outputF16Packed };
const WEIGHT: Partial<Record<Storage, string>> = {
  f32: weightF32,
  f16: weightF16,
  'f16-packed': weightF16Packed,
  'bf16-packed': weightBf16Packed,
};

/** Text that defines Input4, Input1 and their loads for one storage form. */
export function inputLib(storage: Storage): string {
  return pick('input', INPUT, storage);
}

/** Text that defines Weight4 and weight_load. */
export function weightLib(storage: Storage): string {
  return pick('weight', WEIGHT, storage);
}

/** Text that defines Output4, output_load, output_store and output_rounded. */
export function outputLib(storage: Storage): string {
  return pick('output', OUTPUT, storage);
}

/**
 * The loads of two factors for GPUs, halves in pairs: some drivers check, load and await each f16 of a vec4 by itself. Four halves begin
 * on 8 bytes either way: pitches are whole eights, windows begin on whole vec4.
 */
export function pairedLibs(input: Storage, weight: Storage): readonly string[] {
  const pairs = (storage: Storage): Storage => (storage === 'f16' ? 'f16-packed' : storage);
  return [inputLib(pairs(input)), weightLib(pairs(weight))];
}

/** What kernels for matrix units append: their fragments, eights of both factors, and the entry. */
export function matrixLibs(
  { component, pinned }: Pick<MatrixUnits, 'component' | 'pinned'>,
  input: Storage,
  weight: Storage,
): readonly string[] {
  return [
    ...[familyText(`lib/matrix-input-${input}`), familyText(`lib/matrix-weight-${weight}`)],
    ...[familyText(`lib/matrix-${component}`), familyText(pinned ? 'lib/matrix-entry-pinned' : 'lib/matrix-entry')],
  ];
}

/** Text that measures what a product stores, or stands in its place where nobody asks. */
export function momentsLib(asked: boolean | undefined): string {
  return asked ? moments : momentsNone;
}

/** Text that applies a group norm to what a kernel brings, or stands in its place where nobody asks. */
export function normalizeLib(asked: boolean): string {
  return asked ? normalize : normalizeNone;
}

/** half_slab(sums, at), of kernels whose threads make eight rows. */
export const halfSlabLib: string = halfSlab;

/** activate(kind, x) and erf4(x). */
export const activationLib: string = activation;

/** bias_at(column), and finish_at(at, row, column, v), which stores. */
export const epilogueLib: string = epilogue;

/** What the texts of a product by tiles share. */
export const sharedLib: string = gemm;

/** Numbers of the activations in lib/activation.wgsl. */
export const ACTIVATION: Readonly<Record<Activation, number>> = {
  none: 0,
  silu: 1,
  gelu: 2,
  geluTanh: 3,
  quickGelu: 4,
  relu: 5,
  mish: 6,
};
/** Activations that kernels can apply to what they store. */
export type Activation = 'none' | 'silu' | 'gelu' | 'geluTanh' | 'quickGelu' | 'relu' | 'mish';

function pick(role: string, table: Partial<Record<Storage, string>>, storage: Storage): string {
  const text = table[storage];
  if (text === undefined) {
    throw new DTypeError({
      op: `${role} library`,
      problem: 'this role has no such storage form',
      expected: Object.keys(table),
      received: storage,
    });
  }
  return text;
}
