/** What ranks.json says of cards before anything is measured on them, and where a choice listens to it. */
import { describe, expect, it } from 'vitest';
import type { Caps } from '../../src/gpu/caps.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { ATTENTION, type AttentionProblem } from '../../src/kernels/attention.ts';
import { CONV2D, type Conv2dProblem } from '../../src/kernels/conv2d.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
import { choose, fieldOf, nameOf, type Op, shippedTiles, type Variant } from '../../src/kernels/op.ts';
import ranks from '../../src/kernels/ranks.json' with { type: 'json' };
import { OPS } from '../../src/kernels/registry.ts';
import { ranksOf, type ShippedRank } from '../../src/kernels/shipped-ranks.ts';

const ROWS = ranks.ranks as unknown as readonly ShippedRank[];

function card(vendor: string, architecture = '', more: Partial<Caps> = {}): Caps {
  return { ...DEFAULT_CAPS, vendor, architecture, half: 'f16', ...more };
}

const UNITS = { m: 16, n: 16, k: 16, component: 'f16', lanes: 32, pinned: true, preferred: true } as const;
const WITH_UNITS = { matrix: UNITS, maxInvocations: 1024, maxWorkgroupBytes: 32768 };

const side = { pitch: 640, storage: 'f16' } as const;
const LINE: GemmProblem = {
  ...{ batch: 1, rows: 512, columns: 640, k: 640, a: side, y: side },
  b: { layout: 'panels', storage: 'f16' },
};
const MAP: Conv2dProblem = {
  ...{ images: 1, height: 48, width: 48, channels: 640, outChannels: 640, kernel: [3, 3], stride: 1 },
  ...{ padding: { top: 1, right: 1, bottom: 1, left: 1 }, input: 'f16', weight: 'f16', output: 'f16' },
};
function heads(width: number): AttentionProblem {
  const rows = { pitch: width, storage: 'f16' } as const;
  return {
    ...{ batch: 1, heads: 1, queries: 256, keys: 256, headWidth: width, scale: 1 },
    ...{ q: rows, k: rows, v: rows, out: rows },
  };
}
const PROBLEMS: Readonly<Record<string, unknown>> = { linear: LINE, conv2d: MAP, attention: heads(512) };

describe('ranks.json', () => {
  it('is of version 1 and speaks of AMD, NVIDIA, Apple and Intel', () => {
    expect(ranks.version).toBe(1);
    const makers = new Set(ROWS.map(({ cards }) => cards.vendor));
    for (const maker of ['amd', 'nvidia', 'apple', 'intel']) expect(makers).toContain(maker);
  });

  it('names ops, variants and fields that there are, and fields that no number of pictures is among', () => {
    for (const row of ROWS) {
      const op = OPS.find(({ name }) => name === row.op) as Op<unknown> | undefined;
      expect(op?.variants.map(nameOf), row.op).toContain(row.variant);
      for (const field of Object.keys(row.where ?? {})) expect(op?.tunedBy, row.op).toContain(field);
    }
  });

  it('says where each row comes from', () => {
    for (const { source } of ROWS) {
      for (const value of Object.values(source ?? { source: '' })) expect(value).not.toBe('');
    }
  });

  it('sets constants that the texts have', () => {
    for (const { op: name, variant, tiles = {} } of ROWS) {
      const op = OPS.find(one => one.name === name) as Op<unknown> | undefined;
      const named = op?.variants.find(one => nameOf(one) === variant) as Variant<unknown>;
      const call = named.call(DEFAULT_CAPS, PROBLEMS[name], named.tiles(DEFAULT_CAPS, PROBLEMS[name]));
      for (const constant of Object.keys(tiles)) expect(call.source).toMatch(new RegExp(`^const ${constant}\\b`, 'm'));
    }
  });
});

describe('a choice without a table', () => {
  it('goes by the card', () => {
    expect(choose(CONV2D, card('nvidia'), MAP).stem).toBe('conv-tile');
    expect(choose(CONV2D, card('amd', 'rdna-3'), MAP).stem).toBe('gemm-tile');
    expect(choose(CONV2D, card('nvidia', 'ampere', WITH_UNITS), { ...MAP, layout: 'rows' }).stem).toBe('gemm-matrix');
    expect(choose(ATTENTION, card('amd', 'rdna-3', WITH_UNITS), heads(64)).stem).toBe('attention-matrix');
    expect(choose(ATTENTION, card('amd', 'rdna-3', WITH_UNITS), heads(512)).stem).toBe('attention-tile');
    expect(choose(ATTENTION, card('amd', 'rdna-4', WITH_UNITS), heads(512)).stem).toBe('attention-matrix');
  });

  it('passes over what is not meant for a problem', () => {
    expect(choose(CONV2D, card('nvidia'), { ...MAP, height: 24 }).stem).toBe('gemm-tile');
    expect(choose(LINEAR, card('nvidia'), { ...LINE, rows: 1 }).stem).toBe('gemv-tile');
    expect(choose(LINEAR, card('nvidia'), { ...LINE, rows: 1, itemRows: 2 }).stem).toBe('gemm-tile');
    const singles = { a: { ...side, storage: 'f32' }, b: { layout: 'panels', storage: 'f32' } } as const;
    expect(choose(LINEAR, card('nvidia', '', WITH_UNITS), { ...LINE, ...singles }).stem).toBe('gemm-tile');
  });

  it('comes behind what is forced and what was measured', () => {
    const nvidia = card('nvidia');
    const table = [{ op: 'conv2d', variant: 'gemm-tile' }];
    expect(choose(CONV2D, nvidia, MAP, { table }).stem).toBe('gemm-tile');
    expect(choose(CONV2D, nvidia, MAP, { table, force: { conv2d: 'conv-tile' } }).stem).toBe('conv-tile');
  });

  it('is the general one on cards that nobody knows, and on software whoever made it', () => {
    for (const caps of [card(''), card('imgtec'), card('nvidia', '', { software: true })]) {
      expect(ranksOf(caps)).toEqual([]);
      expect(choose(CONV2D, caps, MAP).stem).toBe('gemm-tile');
    }
  });

  it('knows a card by the name that a driver gives it', () => {
    expect(ranksOf(card('mesa', '', { device: 'apple-m1' }))).toEqual(ranksOf(card('apple')));
    expect(ranksOf(card('apple')).length).toBeGreaterThan(0);
  });

  it('is the same for any number of pictures', () => {
    for (const vendor of ['amd', 'nvidia', 'apple', 'qualcomm', 'intel']) {
      for (const architecture of ['', 'rdna-3']) {
        const caps = card(vendor, architecture, WITH_UNITS);
        const stems = [1, 2, 7].map(images => [
          nameOf(choose(CONV2D, caps, { ...MAP, images })),
          nameOf(choose(LINEAR, caps, { ...LINE, rows: 512 * images, itemRows: 512 })),
          nameOf(choose(ATTENTION, caps, { ...heads(512), batch: images })),
        ]);
        expect(new Set(stems.map(String)).size, `${vendor} ${architecture}`).toBe(1);
      }
    }
  });
});

describe('constants of a text', () => {
  it('are those of the card and the problem, whoever chose the variant', () => {
    const of = (caps: Caps, geglu: boolean) => {
      const problem = { ...LINE, epilogue: { geglu } };
      const tuning = { force: { linear: 'gemm-tile' } };
      const chosen = choose(LINEAR, caps, problem, tuning);
      return chosen.call(caps, problem, chosen.tiles(caps, problem)).values['WEIGHTS_FIRST'];
    };
    expect([of(card('nvidia'), false), of(card('nvidia'), true)]).toEqual([true, true]);
    expect([of(card('qualcomm'), false), of(card('qualcomm'), true)]).toEqual([false, true]);
    expect([of(card('amd'), false), of(card(''), true)]).toEqual([false, false]);
  });

  it('are none beside an op, a variant or a problem that the rows speak of', () => {
    const apple = card('apple');
    expect(shippedTiles('attention', 'attention-tile', apple, heads(512))).toEqual({ BLOCKS: 1 });
    expect(shippedTiles('attention', 'attention-matrix', apple, heads(512))).toEqual({});
    expect(shippedTiles('softmax', 'attention-tile', apple, heads(512))).toEqual({});
    expect(fieldOf(heads(512), 'headWidth')).toBe(512);
  });
});
