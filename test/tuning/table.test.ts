/** Tables of measured choices: what is read, what is refused by name, and that plans and weights go by them. */
import { describe, expect, it } from 'vitest';
// @ts-expect-error a script without types
import { builtFrom } from '../../scripts/built-from.mjs';
import { InputError } from '../../src/core/errors.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { CONV2D, type Conv2dProblem } from '../../src/kernels/conv2d.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
import { choose, conditionsOf, measures, nameOf, type PackedLayout, type Tiles } from '../../src/kernels/op.ts';
import { layoutOfWeight } from '../../src/kernels/weight-layout.ts';
import { KERNELS_HASH, LIBRARY_VERSION } from '../../src/tuning/built-from.ts';
import { parseTuningTable } from '../../src/tuning/read-table.ts';
import { type MeasuredChoice, tuningFor, tuningKey, tuningOf } from '../../src/tuning/table.ts';
import { tableOf } from '../support/tuning.ts';

const CARD: Caps = {
  ...DEFAULT_CAPS,
  ...{ vendor: 'amd', architecture: 'rdna-3', device: '0x744c', description: 'Radeon (RADV NAVI31) Mesa 26.0' },
  ...{ half: 'f16', subgroupSize: 32, maxInvocations: 1024, maxWorkgroupBytes: 65536 },
  matrix: { m: 16, n: 16, k: 16, component: 'f16', lanes: 32, pinned: true, preferred: true },
};

/** A linear layer of halves with its weights in a layout. */
function layer(layout: PackedLayout, change: Partial<GemmProblem> = {}): GemmProblem {
  return {
    ...{ batch: 1, itemRows: 64, rows: 64, columns: 64, k: 64, a: { pitch: 64, storage: 'f16' } },
    ...{ b: { layout, storage: 'f16', kTotal: 64 }, y: { pitch: 64, storage: 'f16' }, ...change },
  };
}

function choice(problem: GemmProblem, variant: string, tiles?: Tiles): MeasuredChoice {
  const figures = { ms: 1, defaultMs: 2, candidates: 3 };
  return { op: 'linear', where: conditionsOf(LINEAR, problem), variant, ...(tiles && { tiles }), figures };
}

const table = tableOf(CARD, [choice(layer('panels'), 'gemm-tile')]);
const withChoice = (change: object) => ({ ...table, choices: [{ ...table.choices[0], ...change }] });

describe('a table', () => {
  it('is of the texts and the version that this library has', () => {
    expect(builtFrom()).toContain(KERNELS_HASH);
    expect(builtFrom()).toContain(`'${LIBRARY_VERSION}'`);
  });

  it('is kept under its adapter in words, and all that must agree as numbers', () => {
    expect(tuningKey(CARD)).toMatch(/^amd-rdna-3-radeon-radv-navi31-mesa-26-0-[0-9a-f]{8}-[0-9a-f]{12}$/);
    expect(tuningKey({ ...CARD, subgroupSize: 64 })).not.toBe(tuningKey(CARD));
    expect(tuningKey(CARD, 'ab'.repeat(32))).not.toBe(tuningKey(CARD));
    expect(tuningKey({ ...DEFAULT_CAPS, description: '' })).toMatch(/^adapter-/);
  });

  it.each([
    ['no table', null, 'this is no table'],
    ['no JSON', '{', 'this is no JSON'],
    ['another version', { ...table, version: 2 }, 'a table of another version: expected 1, got 2 (version)'],
    ['no choices', { ...table, choices: undefined }, '(choices)'],
    ['an op that there is not', { ...table, choices: [{ op: 'lineal', variant: 'x' }] }, 'got "lineal"'],
    [
      'a tile of no size',
      { ...table, choices: [{ op: 'linear', variant: 'gemm-tile', tiles: { ROWS: 1.5 } }] },
      'tiles.ROWS',
    ],
    [
      'a condition that is none',
      { ...table, choices: [{ op: 'linear', variant: 'gemm-tile', where: { k: 8 } }] },
      'where.k',
    ],
    ['of a version in quotes', { ...table, version: '1' }, 'got "1" (version)'],
    ['of kernels that would lead out of a folder', { ...table, kernels: '/../../../kernels' }, '(kernels)'],
    ['made at no time', { ...table, made: '\u001b[2J' }, '(made)'],
    ['read by no clock', { ...table, clock: 'sun' }, '(clock)'],
    ['of a device of no kind', { ...table, device: [] }, '(device)'],
    ['of a device without numbers', { ...table, device: { ...table.device, subgroupSize: null } }, 'subgroupSize'],
    ['of a device with a fact of no kind', { ...table, device: { ...table.device, more: {} } }, '(device.more)'],
    ['of choices that are none', { ...table, choices: [null] }, 'got null (choices[0])'],
    ['of conditions in a text', withChoice({ where: 'k' }), 'tuning.table[0].where'],
    ['of conditions that are none at all', withChoice({ where: null }), 'tuning.table[0].where'],
    ['of bounds the wrong way round', withChoice({ where: { k: [9, 8] } }), 'where.k'],
    ['of bounds that JSON lost', withChoice({ where: { k: [null, 8] } }), 'where.k'],
    ['of how many rows stand beside each other', withChoice({ where: { rows: [1, 8] } }), 'got "rows"'],
    ["of an object's own names", withChoice({ where: JSON.parse('{"__proto__": [1, 2]}') }), 'got "__proto__"'],
    ['of tiles that are a number', withChoice({ tiles: 5 }), 'tuning.table[0].tiles'],
    ['of figures that are none', withChoice({ figures: null }), 'choices[0].figures'],
    ['of figures in words', withChoice({ figures: { ms: 'fast' } }), 'choices[0].figures.ms'],
    [
      'of reasons that are none',
      withChoice({ figures: { ...table.choices[0]?.figures, refused: { a: 1 } } }),
      'refused.a',
    ],
    ['as deep as it gets', '['.repeat(50_000) + ']'.repeat(50_000), 'this is no table'],
    ['deep within', { ...table, device: JSON.parse(`${'['.repeat(9000)}${']'.repeat(9000)}`) }, '(device)'],
    ['deep in an object', withChoice({ op: JSON.parse(`${'{"a":'.repeat(9000)}1${'}'.repeat(9000)}`) }), 'no such op'],
  ])('is refused by name where it is %s', (_, stored, text) => {
    let said = '';
    try {
      parseTuningTable(stored);
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      said = (error as InputError).message;
    }
    expect(said).toContain(text);
    expect(said.length).toBeLessThan(1000);
  });

  it('is read as a copy of what is known of it', () => {
    const stored = { ...structuredClone(table), more: { a: 1 } };
    const read = parseTuningTable(stored);
    expect(read).toEqual(table);
    Object.assign(stored.choices[0]?.where ?? {}, { k: [1, 1] });
    expect(read).toEqual(table);
  });

  it('is refused whole on another adapter, with other kernels, and where the device grants other things', () => {
    expect(tuningFor(table, CARD).table).toHaveLength(1);
    expect(() => tuningFor(table, CARD, 'f'.repeat(64))).toThrow('measured with other kernels');
    expect(() => tuningFor(table, { ...CARD, description: 'Radeon (RADV NAVI31) Mesa 27.0' })).toThrow(
      'adapter.description',
    );
    expect(() => tuningFor(table, { ...CARD, half: 'f16-packed' })).toThrow('device.half');
    expect(() => tuningFor(table, { ...CARD, matrix: undefined })).toThrow('device.matrix');
  });
});

describe('a choice with tiles', () => {
  const tiles = { ROWS: 32, COLUMNS: 32, SPAN: 4, DEPTH: 16, UNROLL: 8 };
  const tuning = (own: Tiles) => tuningOf({ choices: [choice(layer('panels'), 'gemm-tile', own)] });

  it('cuts the problem so', () => {
    const variant = choose(LINEAR, CARD, layer('panels'), tuning(tiles));
    expect([nameOf(variant), variant.tiles(CARD, layer('panels'))]).toEqual(['gemm-tile', tiles]);
    expect(variant.call(CARD, layer('panels'), tiles).values).toMatchObject(tiles);
  });

  it('is passed over where the variant has no such cut: never a text that does not compile', () => {
    const variant = choose(LINEAR, CARD, layer('panels'), tuning({ ...tiles, ROWS: 48 }));
    expect(nameOf(variant)).toBe('gemm-matrix-panels');
  });

  it('measures what it stores only where that cut can', () => {
    const broadcast = { ...CARD, matrix: undefined, subgroupSize: 8 };
    const measured = layer('panels', { itemRows: 64 });
    const by = (ROWS: number) => {
      const own = { ...choice(measured, 'gemm-broadcast', { LANES: 8, ROWS }) };
      return measures(LINEAR, broadcast, measured, tuningOf({ choices: [own] }));
    };
    expect([by(8), by(16), by(32)]).toEqual([false, true, true]);
  });
});

describe('the layout of a weight', () => {
  const weight = { columns: 64, k: 64, taps: 1, storage: 'f16', input: 'f16', geglu: false } as const;

  it.each(['panels', 'rows'] as const)('is that which its measured problems read: %s', layout => {
    const variant = layout === 'rows' ? 'gemm-matrix' : 'gemm-tile';
    const tuning = tuningOf({ choices: [choice(layer(layout), variant)] });
    expect(layoutOfWeight(CARD, weight, undefined, tuning)).toBe(layout);
    expect(nameOf(choose(LINEAR, CARD, layer(layout), tuning))).toBe(variant);
  });

  it('is not that of another weight', () => {
    const tuning = tuningOf({ choices: [choice(layer('panels'), 'gemm-tile')] });
    for (const other of [{ k: 72 }, { columns: 72 }, { storage: 'f32' }, { input: 'f32' }, { geglu: true }] as const) {
      const own = { ...weight, ...other };
      expect(layoutOfWeight(CARD, own, undefined, tuning)).toBe(layoutOfWeight(CARD, own));
    }
  });

  it('is known by the whole K axis where problems read parts of it, and by values where gates lie between them', () => {
    const part = layer('panels', { k: 32, b: { layout: 'panels', storage: 'f16', kTotal: 64, kOffset: 32 } });
    expect(layoutOfWeight(CARD, weight, undefined, tuningOf({ choices: [choice(part, 'gemm-tile')] }))).toBe('panels');
    const gates = layer('panels', { epilogue: { geglu: true } });
    const tuning = tuningOf({ choices: [choice(gates, 'gemm-tile')] });
    expect(layoutOfWeight(CARD, { ...weight, columns: 128, geglu: true }, undefined, tuning)).toBe('panels');
    expect(layoutOfWeight(CARD, { ...weight, columns: 256, geglu: true }, undefined, tuning)).toBe('rows');
  });

  it('is that of a convolution with as many taps', () => {
    const conv: Conv2dProblem = {
      ...{ images: 1, height: 8, width: 8, channels: 64, outChannels: 64, kernel: [3, 3], stride: 1, layout: 'panels' },
      ...{ padding: { top: 1, right: 1, bottom: 1, left: 1 }, input: 'f16', weight: 'f16', output: 'f16' },
    };
    const own = { op: 'conv2d', where: conditionsOf(CONV2D, conv), variant: 'gemm-tile' };
    const tuning = tuningOf({ choices: [own] });
    expect(layoutOfWeight(CARD, { ...weight, taps: 9 }, undefined, tuning)).toBe('panels');
    expect(layoutOfWeight(CARD, { ...weight, taps: 4 }, undefined, tuning)).toBe('rows');
  });
});
