/** Tiny problems of all ops with variants, of every kind that networks have: odd sizes, all storages, epilogues, windows, masks. */
import type { AttentionProblem } from '../../src/kernels/attention.ts';
import type { Conv2dProblem } from '../../src/kernels/conv2d.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import type { GroupNormFinalizeProblem } from '../../src/kernels/group-norm-finalize.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import type { LayerNormProblem } from '../../src/kernels/layer-norm.ts';
import type { MatmulProblem } from '../../src/kernels/matmul.ts';
import type { SoftmaxProblem } from '../../src/kernels/softmax.ts';
import type { Heard } from '../../src/tuning/heard.ts';

/** A problem with a name for messages. */
export interface NamedProblem extends Heard {
  readonly name: string;
}

const AROUND = { top: 1, right: 1, bottom: 1, left: 1 };

function linears(act: Storage, weight: Storage): NamedProblem[] {
  const sides = (k: number, columns: number) => ({
    a: { pitch: k, storage: act },
    y: { pitch: columns, storage: act },
  });
  const b = (layout: 'panels' | 'rows') => ({ layout, storage: weight });
  const base = { batch: 1, itemRows: 19, rows: 38, columns: 40, k: 48 };
  const all: Record<string, GemmProblem> = {
    'in panels': { ...base, ...sides(48, 40), b: b('panels'), epilogue: { activation: 'silu', residual: true } },
    'in rows': { ...base, ...sides(48, 40), b: b('rows'), epilogue: { residual: 'multiply' } },
    'gates in panels': { ...base, ...sides(48, 40), b: b('panels'), epilogue: { geglu: true } },
    'gates in rows': { ...base, ...sides(48, 40), b: b('rows'), epilogue: { geglu: true } },
    'of few rows': {
      ...base,
      itemRows: 1,
      rows: 3,
      ...sides(48, 40),
      b: b('panels'),
      epilogue: { activation: 'gelu' },
    },
    'of a part of K': {
      ...{ ...base, k: 24, epilogue: { bias: false, channelAdd: { rowsPerImage: 19, pitch: 48, offset: 8 } } },
      ...{ ...sides(24, 40), b: { ...b('panels'), kTotal: 48, kOffset: 24 }, scale: 0.5 },
    },
    measured: { ...{ ...base, itemRows: 16, rows: 32 }, ...sides(48, 40), b: b('panels'), moments: true },
  };
  return named('linear', all);
}

function convs(act: Storage, weight: Storage): NamedProblem[] {
  const base: Conv2dProblem = {
    ...{ images: 2, height: 6, width: 8, channels: 16, outChannels: 40, kernel: [3, 3], stride: 1, padding: AROUND },
    ...{ input: act, weight, output: act },
  };
  const all: Record<string, Conv2dProblem> = {
    'of three by three': { ...base, epilogue: { activation: 'silu', channelAdd: { rowsPerImage: 48, pitch: 40 } } },
    'with a stride': {
      ...base,
      stride: 2,
      padding: { ...AROUND, top: 0, left: 0 },
      height: 7,
      epilogue: { bias: false },
    },
    'of a map twice as large': { ...base, upsample: true },
    'by small kernels': { ...base, kernel: [2, 2], phases: 'all', weight: 'f32' },
    'by small kernels, odd lines': { ...base, kernel: [2, 2], phases: 'odd', weight: 'f32' },
    'of some columns': { ...base, window: { first: 8, columns: 24 }, epilogue: { residual: true } },
    'in rows': { ...base, layout: 'rows' },
    'of a norm': { ...base, normalize: { activation: 'silu' } },
    measured: { ...base, height: 4, moments: true },
  };
  return named('conv2d', all);
}

function matmuls(act: Storage): NamedProblem[] {
  const base = { batch: 2, rows: 19, columns: 40, k: 24, a: act, b: act, y: act, scale: 0.3 };
  const all: Record<string, MatmulProblem> = {
    'of two tensors': { ...base, epilogue: { bias: false } },
    'with one b': { ...base, sharedB: true, epilogue: { bias: false, residual: true } },
  };
  return named('matmul', all);
}

function attentions(act: Storage): NamedProblem[] {
  const rows = { pitch: 48, storage: act };
  const base: AttentionProblem = {
    ...{ batch: 2, heads: 2, queries: 19, keys: 21, headWidth: 24, scale: 0.2, q: rows, k: rows, v: rows },
    out: { pitch: 56, storage: act },
  };
  const all: Record<string, AttentionProblem> = {
    plain: base,
    causal: { ...base, keys: 19, causal: true },
    'biased and masked': { ...base, bias: { heads: 2, pitch: 24, headPitch: 24 * 19 }, keyMask: { pitch: 24 } },
    'biased by distance': { ...base, bias: { heads: 1, pitch: 0, headPitch: 48, origin: 20 } },
    'with shared keys': { ...base, kvBatch: 1, kvPitchRows: 24 },
    'of one query of a cache': { ...base, queries: 1, queryStart: 20, causal: true, dynamicLength: true },
  };
  return named('attention', all);
}

function norms(act: Storage): NamedProblem[] {
  const rows: LayerNormProblem = {
    ...{ rows: 11, width: 42, eps: 1e-5, x: { pitch: 48, storage: act }, y: { pitch: 56, storage: act } },
  };
  const scores: SoftmaxProblem = { rows: 11, width: 42, scale: 0.7, x: rows.x, y: rows.y };
  return [...named('layerNorm', { rows }), ...named('rmsNorm', { rows }), ...named('softmax', { rows: scores })];
}

const GROUPS: Record<string, GroupNormFinalizeProblem> = {
  counted: { images: 2, pixels: 70, sources: [{ channels: 24, pitch: 24 }], groups: 4, eps: 1e-5 },
  'of two maps': {
    ...{ images: 2, pixels: 70, groups: 4, eps: 1e-5 },
    sources: [
      { channels: 24, pitch: 24 },
      { channels: 16, pitch: 16 },
    ],
  },
  measured: {
    ...{ images: 2, pixels: 64, groups: 4, eps: 1e-5, measuredPixels: 16 },
    sources: [
      { channels: 24, pitch: 24 },
      { channels: 16, pitch: 16 },
    ],
  },
};

function named<P>(op: string, all: Readonly<Record<string, P>>): NamedProblem[] {
  return Object.entries(all).map(([about, problem]) => ({ name: `${op} ${about}`, op, problem }));
}

/** All problems of a device's activations; weights of one more form. */
export function opProblems(act: Storage, weight: Storage = act): NamedProblem[] {
  const all = [...linears(act, weight), ...convs(act, weight), ...matmuls(act), ...attentions(act), ...norms(act)];
  return [...all, ...named('groupNormFinalize', GROUPS)].map(problem => ({
    ...problem,
    name: `${problem.name}, ${act} and ${weight}`,
  }));
}
