/** What charts take of a benchmark's file, and how rows, engines and numbers are called in them. */
import type { BenchFile, BenchPeer, Bound, KernelRow, PeerName } from '../schema.ts';

/** A benchmark's file as far as it is drawn: a page draws one that is not complete yet. */
export type ChartData = Pick<BenchFile, 'adapter' | 'machine' | 'clock' | 'ceilings' | 'rows' | 'networks' | 'peers'>;

/** How ceilings are called. */
export const CEILING_WORDS: Readonly<Record<Bound, string>> = {
  fmaF32: 'f32 multiply-adds',
  fmaF16: 'f16 multiply-adds',
  matrix: 'matrix units',
  copy: 'memory',
};

/** The same in a word. */
export const BOUND_WORDS: Readonly<Record<Bound, string>> = {
  fmaF32: 'f32',
  fmaF16: 'f16',
  matrix: 'matrix units',
  copy: 'memory',
};

const PEER_WORDS: Readonly<Record<PeerName, string>> = {
  onnxruntime: 'onnxruntime',
  tfjs: 'tfjs',
  jax: 'jax-js',
};

/** A peer's name. */
export function peerWords({ name }: Pick<BenchPeer, 'name'>): string {
  return PEER_WORDS[name];
}

/** The peers that ran, with their versions. */
export function versionWords({ peers }: Pick<ChartData, 'peers'>): string {
  return peers
    .filter(({ missing }) => missing === undefined)
    .map(peer => [peerWords(peer), peer.version].filter(Boolean).join(' '))
    .join(', ');
}

/** Whether a row, ours or a peer's, may have a speed. */
export function hasSpeed(row: { readonly wrong?: true | undefined; readonly medianMs: number | null }): boolean {
  return !row.wrong && row.medianMs !== null && row.medianMs > 0;
}

/** A row's name as short as it says everything: `conv3x3 1×32×32×320 → 320 f16 × f32`. */
export function rowWords({ name }: Pick<KernelRow, 'name'>): string {
  return name
    .replace(/weights (\S+) activations (\S+)/, '$1 · $2')
    .replace(/activations /, '')
    .replaceAll('-packed', '')
    .replaceAll('->', '→')
    .replace(/(?<=\d)x(?=\d)/g, '×')
    .replace(/(?<=\d|tokens|heads|queries|keys) x (?=\d)/g, ' × ');
}

/** The same where there is little room: `attention 4096×77, 5×64 f32`. */
export function fewWords(row: Pick<KernelRow, 'name'>): string {
  return rowWords(row)
    .replace(/ queries × (\d+) keys × (\d+) heads × /, '×$1, $2×')
    .replace(/ tokens × (\d+) heads × /, ', $1×')
    .replace('conv3×3', 'conv')
    .replace(' + silu', '');
}

/** The machine in words: its adapter, by the driver's words where there are any, and on software the processor. */
export function adapterWords({ adapter, machine }: Pick<ChartData, 'adapter' | 'machine'>): string {
  const { vendor, architecture, description } = adapter;
  const name = description || [vendor, architecture].filter(Boolean).join(' ') || 'an adapter without a name';
  const software = architecture === 'software' || architecture === 'swiftshader';
  return software && machine.cpu !== '' ? `${name}, ${machine.cpu}` : name;
}

/** A number with about three digits: 0.012, 1.23, 12.3, 123, 1234. */
export function threeDigits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value >= 99.95) return value.toFixed(0);
  return value === 0 ? '0' : value.toPrecision(value >= 1 ? 3 : 2);
}

/** What speeds are told in: that in which the highest of them has few digits. */
export interface SpeedUnit {
  readonly name: 'GFLOP/s' | 'TFLOP/s';
  /** Of a GFLOP/s. */
  readonly factor: number;
}

/** The unit of a chart. */
export function speedUnit({ ceilings: { fmaF32, fmaF16, matrix } }: Pick<ChartData, 'ceilings'>): SpeedUnit {
  const large = Math.max(fmaF32, fmaF16 ?? 0, matrix ?? 0) >= 10_000;
  return large ? { name: 'TFLOP/s', factor: 1e-3 } : { name: 'GFLOP/s', factor: 1 };
}

/** A share in per cent. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.095 ? 1 : 0)} %`;
}

/** An error, such as 4e-7. */
export function errorWords(error: number | null): string {
  if (error === null) return 'not a number';
  return error >= 0.01 ? String(Number(error.toPrecision(2))) : error.toExponential(0);
}
