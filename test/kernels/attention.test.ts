import { describe, expect, it } from 'vitest';
import type { Caps } from '../../src/gpu/caps.ts';
import { specialize } from '../../src/gpu/specialize.ts';
import { ATTENTION, type AttentionProblem, attention } from '../../src/kernels/attention.ts';
import { expectClose } from '../support/close.ts';
import { FULL } from '../support/full.ts';
import { testGpu } from '../support/gpu.ts';
import { FAMILY_SETTINGS, MATRIX_SETTINGS, runBothWays, settingOf } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import {
  ATTENTION_CASES,
  type AttentionCase,
  type AttentionFamily,
  type AttentionRun,
  attentionRun,
  forceAttention,
} from './attention.cases.ts';

const gpu = await testGpu();

/** Heads of `width` out of padded rows; fails where a padding lane is not zero. */
function readHeads(out: ArrayLike<number>, run: AttentionRun, heads: number, width: number): Float32Array {
  const { pitch, headWidth } = run.layout;
  const rows = out.length / pitch;
  const values: number[] = [];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < pitch; c++) {
      const inHead = c < heads * headWidth && c % headWidth < width;
      const value = out[r * pitch + c];
      if (inHead) values.push(value);
      else if (!Object.is(value, 0)) expect(value, `padding of row ${r}, column ${c}`).toBe(0);
    }
  }
  return Float32Array.from(values);
}

describe('attention', () => {
  // A text by matrix units takes LLVM a second or more: every day those of halves alone.
  const matrix = MATRIX_SETTINGS.filter(name => gpu.caps.matrix && (FULL || name === 'f16 matrix'));
  for (const name of [...FAMILY_SETTINGS, ...matrix]) {
    for (const c of ATTENTION_CASES) {
      it(`${name}: ${c.name}`, async () => {
        const { gpu, storage, family, tolerance } = await settingOf(name);
        const run = attentionRun(gpu, c, storage, family);
        const { out } = await runBothWays(gpu, run.call, run.operands, 3);
        expectClose(readHeads(out, run, c.heads, c.width), run.expected(), tolerance);
      });
    }
  }

  const CARDS: Record<string, Partial<Caps>> = {
    'a card': { vendor: 'amd' },
    'a card of few registers': { vendor: 'apple' },
    'a card of small workgroups': { vendor: 'amd', maxInvocations: 128 },
  };
  it.each([
    ['a card', 64, 5, 77],
    ['a card', 68, 5, 33],
    ['a card', 129, 67, 65],
    ['a card', 160, 5, 33],
    ['a card', 512, 5, 33],
    ['a card of few registers', 64, 67, 77],
    ['a card of few registers', 512, 5, 33],
    ['a card of small workgroups', 160, 5, 129],
  ])('tiles as %s gets them, a head of %i', async (card, width, queries, keys) => {
    const gpu = await testGpu();
    const c = { name: '', batch: 1, heads: 2, queries, keys, width, gain: 4 };
    const hardware = { caps: { ...gpu.caps, software: false, ...CARDS[card] } } as typeof gpu;
    const run = attentionRun(hardware, c, 'f32', 'tile');
    const { out } = await runBothWays(gpu, run.call, run.operands);
    expectClose(readHeads(out, run, 2, width), run.expected(), 2e-6);
  });

  it('asks for subgroups of 32 where a card has larger ones too, and keeps conversions apart on RDNA3', async () => {
    const { caps } = await testGpu();
    const side = { pitch: 64, storage: 'f32' as const };
    const sizes = { batch: 1, heads: 1, queries: 9, keys: 9, headWidth: 64, scale: 1 };
    const of = (pins32: boolean, architecture: string) => {
      const problem = { ...sizes, q: side, k: side, v: side, out: side };
      const { kernel, source, libs, values } = attention(
        { ...caps, software: false, vendor: 'amd', pins32, architecture },
        problem,
        forceAttention('tile'),
      );
      const text = specialize(kernel, source, libs, values);
      return [/^enable subgroup_size_control;/.test(text), /@subgroup_size\(32\)/.test(text), values['PAIRED']];
    };
    expect([of(false, 'rdna-3'), of(true, 'rdna-2'), of(true, 'rdna-3')]).toEqual([
      [false, false, false],
      [true, true, false],
      [true, true, true],
    ]);
  });
});

describe('attention in wide tiles', () => {
  const runWide = async (setting: (typeof FAMILY_SETTINGS)[number], c: AttentionCase) => {
    const { gpu, storage, tolerance } = await settingOf(setting);
    const run = attentionRun(gpu, c, storage, 'broadcast-wide');
    const { out } = await runBothWays(gpu, run.call, run.operands, 3);
    expectClose(readHeads(out, run, c.heads, c.width), run.expected(), tolerance);
  };
  const named = (c: AttentionCase) => [c.name, c] as const;
  const plain = ATTENTION_CASES.filter(c => !c.bias && !c.keyMask);
  const narrow = plain.filter(c => c.width <= 64);
  const full = { name: 'whole tiles of heads of 64', batch: 1, heads: 2, queries: 64, keys: 96, width: 64, gain: 8 };
  const cached = { name: 'a cache', batch: 2, heads: 1, queries: 3, keys: 20, width: 16, capacity: 40, dynamic: true };
  const position = { ...cached, name: 'causal on a cache', causal: true, queryStart: 17 };

  it.each([...narrow, full, cached, position].map(named))('f32: %s', (_, c) => runWide('f32 broadcast', c));
  it.each(plain.filter(c => c.width === 512).map(named))('f32: %s', (_, c) => runWide('f32 broadcast', c));
  it.each([...narrow, full].map(named))('f16 packed: %s', (_, c) => runWide('f16 packed broadcast', c));
  it.each(plain.filter(c => c.width === 160).map(named))('f16 packed: %s', (_, c) =>
    runWide('f16 packed broadcast', c),
  );

  it('is what many scores without additive terms get, by the sizes of one sequence', async () => {
    const { caps: own } = await testGpu();
    const caps = { ...own, software: true, subgroupSize: 8 };
    const side = { pitch: 512, storage: 'f32' as const };
    const of = (change: Partial<AttentionProblem>, some: Partial<Caps> = {}) => {
      const sizes = { batch: 1, heads: 1, queries: 512, keys: 256, headWidth: 64, scale: 1 };
      const call = attention({ ...caps, ...some }, { ...sizes, q: side, k: side, v: side, out: side, ...change });
      return `${call.kernel} ${call.tiles}`;
    };
    expect(of({})).toBe('attention-broadcast-wide 16');
    expect(of({ batch: 2 })).toBe('attention-broadcast-wide 32');
    expect(of({ headWidth: 512 })).toBe('attention-broadcast-wide 32');
    expect(of({ keys: 255 })).toBe('attention-broadcast 64');
    expect(of({ batch: 9, keys: 255 })).toBe('attention-broadcast 576');
    expect(of({ keyMask: { pitch: 256 } })).toBe('attention-broadcast 64');
    expect(of({}, { subgroupSize: 16 })).toBe('attention-broadcast 64');
    expect(of({}, { software: false })).toBe('attention-tile 8');
  });
});

const FRAGMENTS = [
  // More threads than a step has keys.
  { width: 16, CHUNK: 16, WIDE: 2, SUBGROUPS: 8, queries: 65, keys: 70, bias: 2, keyMask: true },
  { width: 40, CHUNK: 16, WIDE: 3, SUBGROUPS: 4, queries: 9, keys: 33 },
  { width: 32, CHUNK: 32, WIDE: 4, SUBGROUPS: 4, queries: 19, keys: 70 },
];
// LLVM takes 2 s for the first, 12 for the last.
it.each(FULL ? FRAGMENTS : FRAGMENTS.slice(0, 1))(
  'several fragments a subgroup, as cards get them: a head of $width in chunks of $CHUNK',
  async c => {
    const variant = ATTENTION.variants.find(v => v.stem === 'attention-matrix');
    if (!gpu.caps.matrix || !variant) return expect(gpu.caps.matrix).toBeUndefined();
    const { width, CHUNK, WIDE, SUBGROUPS, ...rest } = c;
    const sizes = { name: '', batch: 2, heads: 2, width, gain: 9, ...rest };
    const tiles = { SUBGROUPS, KEYS: 32, CHUNK, WIDE };
    const run = attentionRun(gpu, sizes, 'f16', 'matrix', problem => variant.call(gpu.caps, problem, tiles));
    const { out } = await runBothWays(gpu, run.call, run.operands, 3);
    expectClose(readHeads(out, run, 2, width), run.expected(), 1e-3);
  },
);

describe('attention at its edges', () => {
  const bare = { batch: 2, heads: 1, queries: 2, keys: 20, headWidth: 8, scale: 1 };
  const side = { pitch: 8, storage: 'f32' as const };
  const plain: AttentionProblem = { ...bare, q: side, k: side, v: side, out: side };
  const f32 = (values: ArrayLike<number>) => ({ storage: 'f32' as const, values });

  async function runPlain(
    family: AttentionFamily,
    problem: AttentionProblem,
    mask: Float32Array,
    lengths = [20, 0],
    values = randoms(320, 3),
  ) {
    const gpu = await testGpu();
    return runBothWays(gpu, attention(gpu.caps, problem, forceAttention(family)), {
      q: f32(randoms(32, 1)),
      k: f32(randoms(320, 2)),
      v: f32(values),
      bias: f32(new Float32Array(4)),
      key_mask: f32(mask),
      lengths: { words: Uint32Array.from(lengths) },
      out: { storage: 'f32', size: 32 },
    });
  }

  const matrix = gpu.caps.matrix ? (['matrix'] as const) : [];
  const toleranceOf = (family: AttentionFamily) => (family === 'matrix' ? 1e-3 : 1e-6);

  for (const family of ['broadcast', 'tile', ...matrix] as const) {
    const tolerance = toleranceOf(family);
    it(`${family}: a row whose every key is masked averages the values and stays finite`, async () => {
      for (const lowest of [Number.NEGATIVE_INFINITY, -3.4028234663852886e38]) {
        const mask = new Float32Array(40).fill(lowest, 0, 20);
        const values = randoms(320, 3);
        const { out } = await runPlain(family, { ...plain, keyMask: { pitch: 20 } }, mask, [20, 0], values);
        const mean = Array.from({ length: 8 }, (_, c) => {
          let sum = 0;
          for (let j = 0; j < 20; j++) sum += values[j * 8 + c] / 20;
          return sum;
        });
        expectClose(out.subarray(0, 8), mean, tolerance);
        expect(out.every(Number.isFinite)).toBe(true);
      }
    });
  }

  for (const family of ['broadcast', 'broadcast-wide', 'tile', ...matrix] as const) {
    const tolerance = toleranceOf(family);
    it(`${family}: a key count of 0 gives zeros`, async () => {
      const problem = { ...plain, dynamicLength: true };
      const { out } = await runPlain(family, problem, new Float32Array(4), [0, 0]);
      expect([...out]).toEqual(new Array(32).fill(0));
    });

    it(`${family}: rows behind the key count may hold anything, NaN too`, async () => {
      const values = randoms(320, 3);
      values.fill(Number.NaN, 5 * 8, 20 * 8);
      values.fill(Number.NaN, 25 * 8, 40 * 8);
      const { out } = await runPlain(family, { ...plain, dynamicLength: true }, new Float32Array(4), [5, 0], values);
      expect(out.every(Number.isFinite)).toBe(true);
    });

    it(`${family}: scores of a hundred thousand keep their softmax`, async () => {
      const { out } = await runPlain(family, { ...plain, scale: 1e5 }, new Float32Array(4));
      const q = randoms(32, 1);
      const k = randoms(320, 2);
      const v = randoms(320, 3);
      const best = Array.from({ length: 20 }, (_, j) => q.subarray(0, 8).reduce((s, x, c) => s + x * k[j * 8 + c], 0));
      const winner = best.indexOf(Math.max(...best));
      expectClose(out.subarray(0, 8), v.subarray(winner * 8, winner * 8 + 8), tolerance);
    });

    it(`${family}: equal keys average the values`, async () => {
      const { out } = await runPlain(family, { ...plain, scale: 0 }, new Float32Array(4));
      const v = randoms(320, 3);
      const mean = Array.from({ length: 8 }, (_, c) => {
        let sum = 0;
        for (let j = 0; j < 20; j++) sum += v[160 + j * 8 + c] / 20;
        return sum;
      });
      expectClose(out.subarray(16, 24), mean, tolerance);
    });
  }

  it('cuts heads into the fewest blocks and slices', async () => {
    const lavapipe = { software: true, subgroupSize: 8 };
    const bare = { software: true, subgroupSize: 0, architecture: 'software', description: 'llvmpipe' };
    const swiftshader = { ...bare, architecture: 'swiftshader', description: '' };
    const hardware = { software: false, subgroupSize: 0 };
    const cut = async (change: Partial<Caps>, headWidth: number, queries = 64) => {
      const { caps } = await testGpu();
      const side = { pitch: 512, storage: 'f32' as const };
      const sides = { q: side, k: side, v: side, out: side };
      const call = attention({ ...caps, ...change }, { ...plain, ...sides, batch: 1, queries, headWidth });
      return [call.values['BLOCKS'], call.params['slices'], call.params['row_tiles']].join();
    };
    const cuts = (caps: Partial<Caps>) => Promise.all([4, 32, 40, 64, 128, 160, 512].map(width => cut(caps, width)));
    expect(await cuts(lavapipe)).toEqual(['1,1,8', '1,1,8', '2,1,8', '2,1,8', '4,1,8', '5,1,8', '4,4,8']);
    expect(await cuts(hardware)).toEqual(['1,1,1', '1,1,1', '1,1,1', '1,1,1', '1,1,1', '2,1,1', '2,2,1']);
    expect((await cuts(bare)).slice(-2)).toEqual(['1,3,1', '1,8,1']);
    expect((await cuts(swiftshader)).slice(-3)).toEqual(['2,1,1', '2,2,1', '2,4,1']);
    expect([await cut(lavapipe, 64, 1), await cut(lavapipe, 64, 9)]).toEqual(['2,1,1', '2,1,2']);
    expect(ATTENTION.variants.map(v => v.stem)).toEqual([
      'attention-broadcast',
      'attention-broadcast-wide',
      'attention-tile',
      'attention-matrix',
    ]);
  });

  it('counts two multiply-adds a score and column', async () => {
    const { caps } = await testGpu();
    expect(attention(caps, plain).cost).toEqual({
      flops: 4 * 2 * 2 * 20 * 8,
      bytes: 4 * (2 * 2 * 2 * 8 + 2 * 2 * 20 * 8),
    });
  });

  it('refuses problems that do not fit, by the name of the field', async () => {
    const { caps } = await testGpu();
    const refusal = (change: Partial<AttentionProblem>) => {
      try {
        attention(caps, { ...plain, ...change });
      } catch (error) {
        return String(error);
      }
      return 'accepted';
    };
    expect([
      refusal({ keys: 0 }),
      refusal({ headWidth: 6 }),
      refusal({ q: { pitch: 6, storage: 'f32' } }),
      refusal({ v: { pitch: 16, offset: 2, storage: 'f32' } }),
      refusal({ out: { pitch: 8, offset: 4, storage: 'f32' } }),
      refusal({ v: { pitch: 8, storage: 'f16' } }),
      refusal({ kvBatch: 3 }),
      refusal({ kvPitchRows: 19 }),
      refusal({ queryStart: -1 }),
      refusal({ scale: Number.NaN }),
      refusal({ bias: { heads: 2, pitch: 20, headPitch: 40 } }),
      refusal({ bias: { heads: 1, pitch: 19, headPitch: 40 } }),
      refusal({ bias: { heads: 1, pitch: 20, headPitch: 39 } }),
      refusal({ keyMask: { pitch: 19 } }),
    ]).toMatchInlineSnapshot(`
      [
        "ShapeError: attention: a size must be a positive integer: got 0 (keys). Correct the sizes of the call.",
        "ShapeError: attention: must be a multiple of 4: got 6 (headWidth). Pad each head with zero columns.",
        "ShapeError: attention: must be a positive multiple of 4: got 6 (q.pitch). Pad the rows.",
        "ShapeError: attention: must be a multiple of 4: got 2 (v.offset). Start the heads on a whole vec4.",
        "ShapeError: attention: its 1 heads of 8 end at 12, past the row: got 8 (out.pitch). Widen the rows.",
        "DTypeError: attention: keys and values must have one storage form: expected f32, got f16 (v.storage). Convert one of them.",
        "ShapeError: attention: must divide the batch 2: got 3 (kvBatch). Repeat the keys, or leave kvBatch out.",
        "ShapeError: attention: must hold 20 keys: got 19 (kvPitchRows). Enlarge the cache.",
        "ShapeError: attention: must be an integer from 0 on: got -1 (queryStart). Correct the sizes of the call.",
        "ShapeError: attention: must be finite: got NaN (scale). Correct the sizes of the call.",
        "ShapeError: attention: must be 1 or 1: got 2 (bias.heads). Correct the sizes of the call.",
        "ShapeError: attention: must be an integer and hold 20 keys: got 19 (bias.pitch). Correct the sizes of the call.",
        "ShapeError: attention: must be an integer and hold 2 rows of 20: got 39 (bias.headPitch). Correct the sizes of the call.",
        "ShapeError: attention: must be an integer and hold 20 keys: got 19 (keyMask.pitch). Correct the sizes of the call.",
      ]
    `);
  });
});
