/** The variant of attention for matrix units: how heads are cut for it. */
import sharedLib from '../../wgsl/lib/attention.wgsl';
import { alignUp, ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import type { AttentionProblem } from './attention-problem.ts';
import { familyText } from './family-texts.ts';
import { type KernelCall, RANK } from './kernel.ts';
import { matrixLibs, outputLib } from './libs.ts';
import type { Variant } from './op.ts';

/** How attention-matrix cuts a head. */
export type MatrixAttentionTile = {
  /** Subgroups of a workgroup, each with as many queries as a fragment has rows. */
  readonly SUBGROUPS: number;
  /** Keys of a step. */
  readonly KEYS: number;
  /** Columns of queries and keys in workgroup memory. */
  readonly CHUNK: number;
  /** Fragments of columns of a slice. */
  readonly WIDE: number;
};

/** The call of another text with these constants, and how many queries by vec4 columns it cuts tiles of. */
type MakeCall = (
  program: Pick<KernelCall, 'kernel' | 'source'>,
  problem: AttentionProblem,
  values: KernelCall['values'],
  cut: { readonly rows: number; readonly columns: number },
) => KernelCall;

/** Widest head whose queries stay in registers beside its sums. */
const HELD = 80;
/** Columns of wider heads that are staged at once: the one that leaves less over. */
const CHUNKS = [80, 64] as const;
/** Columns of a slice: the sums of a subgroup's queries. */
const SLICE = 160;

/** Whether the units take the problem: heads that begin on whole eights, in storage forms that become fragments. */
function fits({ matrix, maxInvocations, maxWorkgroupBytes }: Caps, p: AttentionProblem): boolean {
  const eights = [p.headWidth, ...[p.q, p.k, p.v].flatMap(({ pitch, offset = 0 }) => [pitch, offset])];
  const forms = [p.q, p.k].every(({ storage }) => !storage.endsWith('packed'));
  const room = maxInvocations >= 256 && maxWorkgroupBytes >= 32768;
  return matrix?.component === 'f16' && forms && room && eights.every(count => count % 8 === 0);
}

function tilesOf({ software, matrix }: Caps, { headWidth }: AttentionProblem): MatrixAttentionTile {
  const { m = 8, n = 8, k = 8 } = matrix ?? {};
  // LLVM's time grows with the fragments that a subgroup keeps.
  if (software) return { SUBGROUPS: 2, KEYS: 2 * k, CHUNK: 2 * k, WIDE: 2 };
  const blocks = ceilDiv(headWidth, n);
  const most = Math.min(12, SLICE / n);
  const [wide, narrow] = CHUNKS;
  return {
    SUBGROUPS: 64 / m,
    KEYS: headWidth <= 64 ? 64 : 32,
    CHUNK: headWidth <= HELD ? alignUp(headWidth, k) : headWidth % wide === 0 ? wide : narrow,
    WIDE: ceilDiv(blocks, ceilDiv(blocks, most)),
  };
}

/** Cuts that are worth a measurement on some card, of those that the text and the device take. */
function candidatesOf(caps: Caps, p: AttentionProblem): MatrixAttentionTile[] {
  const { matrix, software } = caps;
  if (software || !matrix) return [];
  const own = tilesOf(caps, p);
  const subgroups = [32, 64, 128].map(queries => queries / matrix.m).filter(count => count >= 1);
  const all = subgroups.flatMap(SUBGROUPS => [32, 64].map(KEYS => ({ ...own, SUBGROUPS, KEYS })));
  return all.filter(tiles => isLegal(caps, p, tiles));
}

/** What the text asserts of its constants, and the memory that a workgroup shares: slots of 16 bytes. */
function isLegal(caps: Caps, { headWidth }: AttentionProblem, t: MatrixAttentionTile): boolean {
  const { m = 8, n = 8, k = 8, lanes = 32 } = caps.matrix ?? {};
  const rows = t.SUBGROUPS * m;
  const pitch = t.CHUNK / 8 + 1;
  const vPitch = (t.WIDE * n) / 8 + 1;
  const held = t.CHUNK >= headWidth;
  const staged = Math.max(t.KEYS * pitch + (held ? 0 : rows * pitch), t.KEYS * vPitch);
  const slots = Math.max(staged + rows * (t.KEYS / 4 + 1), held ? rows * pitch : 0);
  const part = t.KEYS / (lanes / m);
  const whole = part % k === 0 && part % 4 === 0 && t.KEYS % n === 0;
  return whole && t.SUBGROUPS * lanes <= caps.maxInvocations && 16 * slots + 4 * t.KEYS + 4 <= caps.maxWorkgroupBytes;
}

/** Attention by matrix units, whose call is made as the other variants' are. */
export function attentionMatrix(makeCall: MakeCall): Variant<AttentionProblem, MatrixAttentionTile> {
  return {
    stem: 'attention-matrix',
    fits,
    // A single query would leave all rows of a fragment but one idle.
    rank: ({ matrix }, { q, queries }) =>
      !matrix?.preferred || q.storage !== 'f16' || queries === 1 ? RANK.lastMatrix : RANK.matrix,
    tiles: tilesOf,
    candidates: candidatesOf,
    call: ({ matrix }, problem, tiles) => {
      const { m = 8, n = 8, k = 8, lanes = 32, component = 'f16', pinned = false } = matrix ?? {};
      const { headWidth, q, k: keys, out } = problem;
      const values = {
        ...tiles,
        ...{ SIDE_M: m, SIDE_N: n, SIDE_K: k, LANES: lanes },
        HELD: tiles.CHUNK >= headWidth,
        RAGGED: headWidth % tiles.CHUNK !== 0,
        BIASED: problem.bias !== undefined,
        MASKED: problem.keyMask !== undefined,
      };
      const cut = { rows: m * tiles.SUBGROUPS, columns: (tiles.WIDE * n) / 4 };
      const libs = [...matrixLibs({ component, pinned }, q.storage, keys.storage), outputLib(out.storage), sharedLib];
      return {
        ...makeCall({ kernel: 'attention-matrix', source: familyText('attention-matrix') }, problem, values, cut),
        libs,
      };
    },
  };
}
