/** Attention: heads of all widths, keys shared or not, added terms, lengths that the device reads. */
import { ATTENTION, type AttentionProblem } from '../../../src/kernels/attention.ts';
import type { Storage } from '../../../src/kernels/kernel.ts';
import type { Variant } from '../../../src/kernels/op.ts';
import type { Draw } from './draw.ts';
import { nothing, type OpProblem, type Row, rowsOf, type Where } from './problem.ts';

interface Forms {
  readonly q: Storage;
  readonly k: Storage;
  readonly out: Storage;
  readonly added: boolean;
  readonly single: boolean;
  readonly heads: readonly number[];
  readonly step: number;
}

/** Widths of heads by how many columns a thread or lane takes, and with them the text that is compiled. */
const HEADS: readonly (readonly number[])[] = [[4, 8, 12, 24, 32], [40, 64], [72, 80], [160], [264, 512]];
const MATRIX_HEADS: readonly (readonly number[])[] = [[16], [24], [8], [72], [40]];

function forms(draw: Draw, { storages }: Where, { stem }: Variant<never>): Forms {
  const matrix = stem === 'attention-matrix';
  const plain = storages.filter(s => s === 'f32' || s === 'f16');
  const kept: Storage[] = matrix ? plain : [...storages, 'bf16-packed'];
  const heads = draw.turn(matrix ? MATRIX_HEADS : HEADS);
  return {
    ...{ q: draw.turn(matrix ? plain : storages), k: draw.turn(kept), out: draw.pick(storages) },
    ...{ added: stem !== 'attention-broadcast-wide' && draw.turn([true, false, true]), single: draw.chance(4) },
    ...{ heads, step: matrix ? 8 : 4 },
  };
}

/** Rows that hold the heads, and sometimes more before and behind. */
function side(draw: Draw, width: number, step: number, storage: Storage) {
  const offset = step * draw.pick([0, 0, 1, 3]);
  const pitch = Math.ceil((offset + width) / 8) * 8 + 8 * draw.pick([0, 0, 1]);
  return { pitch, offset, storage };
}

function attentionProblem(draw: Draw, f: Forms): OpProblem<AttentionProblem> {
  const headWidth = draw.pick(f.heads);
  const heads = draw.int(1, headWidth > 100 ? 2 : 4);
  const kvBatch = draw.int(1, 2);
  const batch = kvBatch * draw.int(1, 2);
  const queries = f.single ? 1 : draw.size(draw.pick([8, 16, 64]), 70);
  const keys = draw.size(draw.pick([16, 32, 64]), 80);
  const dynamicLength = draw.chance(4);
  const start = draw.int(0, 12);
  const kvPitchRows = keys + draw.pick([0, 0, 1, 7]);
  const width = heads * headWidth;
  const [q, k, v, out] = [f.q, f.k, f.k, f.out].map(storage => side(draw, width, f.step, storage));
  if (!q || !k || !v || !out) throw new Error('four sides');
  const biased = f.added && draw.chance(2);
  const masked = f.added && (!biased || draw.chance());
  const bias = biased ? biasOf(draw, { heads, queries, keys, start }) : undefined;
  const keyMask = masked ? { pitch: keys + draw.int(0, 3) } : undefined;
  const problem: AttentionProblem = {
    ...{ batch, heads, queries, keys, headWidth, q, k, v, out, scale: 0.3, kvBatch, kvPitchRows, bias, keyMask },
    ...{ kvRepeat: draw.pick(['consecutive', 'interleaved'] as const), causal: draw.chance(3), dynamicLength },
    queryStart: dynamicLength ? 0 : start,
  };
  return {
    problem,
    buffers: {
      q: draw.values(f.q, batch * queries * q.pitch),
      k: draw.values(f.k, kvBatch * kvPitchRows * k.pitch),
      v: draw.values(f.k, kvBatch * kvPitchRows * v.pitch),
      bias: bias ? draw.values('f32', bias.heads * bias.headPitch) : nothing(draw),
      key_mask: keyMask ? draw.values('f32', batch * keyMask.pitch) : nothing(draw),
      lengths: dynamicLength ? Uint32Array.of(draw.int(0, keys), start) : nothing(draw),
      out: draw.values(f.out, batch * queries * out.pitch),
    },
  };
}

/** By position, or by distance: of the key to the query. */
function biasOf(draw: Draw, p: { heads: number; queries: number; keys: number; start: number }) {
  const heads = draw.pick([1, p.heads]);
  const rows = p.start + p.queries;
  if (draw.chance()) {
    const pitch = p.keys + draw.pick([0, 0, 0, 1, 3]);
    return { heads, pitch, headPitch: rows * pitch + draw.pick([0, 0, 1]) };
  }
  const origin = Math.max(rows, p.keys) - 1 + draw.int(0, 2);
  return { heads, pitch: 0, headPitch: origin + p.keys + draw.int(0, 2), origin };
}

/** Every variant of attention. */
export const ATTENTIONS: readonly Row[] = rowsOf(ATTENTION, (draw, where, variant) => {
  const f = forms(draw, where, variant);
  return own => attentionProblem(own, f);
});
