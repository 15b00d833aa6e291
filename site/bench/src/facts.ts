/** What is told of the adapter and of its ceilings. */
import type { Ceilings } from '../../../bench/schema.ts';
import { CEILING_WORDS, threeDigits } from '../../../bench/svg/chart-data.ts';
import type { Caps } from '../../../src/gpu/caps.ts';
import { box, make } from '../../shared/elements.ts';
import type { KernelHead } from '../../shared/kernel-messages.ts';

/** Letters from which on a term has a line of its own. */
const WIDE = 48;

/** The adapter in a list of terms. */
export function showFacts(head: KernelHead | undefined): void {
  box('adapter').hidden = head === undefined;
  if (!head) return;
  const { adapter, features, clock, machine, without } = head;
  const caps = head.caps as Caps;
  const name = [adapter.vendor, adapter.architecture, adapter.device].filter(Boolean).join(' ');
  const facts: Record<string, string> = {
    adapter: name || 'not told',
    driver: adapter.description || 'not told',
    kind: caps.software ? 'software' : 'hardware',
    halves: caps.half === 'f16' ? 'as f16' : 'packed in pairs',
    subgroups: caps.subgroupSize > 0 ? `of ${caps.subgroupSize}` : 'of no fixed size, or none',
    'matrix units': caps.matrix ? `${caps.matrix.m} × ${caps.matrix.n} × ${caps.matrix.k}` : 'not in reach',
    'times by': CLOCKS[clock],
    'largest binding': `${Math.round(caps.maxBindingBytes / 2 ** 20)} MiB`,
    ...(without.length > 0 ? { without: without.join(', ') } : {}),
    processors: String(machine.cores),
    features: features.join(', ') || 'none',
    browser: machine.runtime,
  };
  fill('facts', facts);
}

const CLOCKS: Readonly<Record<KernelHead['clock'], string>> = {
  timestamps: 'the device’s own timestamps',
  clock: 'the clock, from submission to the end',
  processor: 'the processor, over all threads',
};

/** The ceilings, those that the adapter has. */
export function showCeilings(ceilings: Ceilings | undefined): void {
  box('ceilings').hidden = ceilings === undefined;
  if (!ceilings) return;
  const { fmaF32, fmaF16, matrix, copy } = ceilings;
  const speed = (gflops: number | null): string =>
    gflops === null
      ? 'none'
      : gflops >= 10_000
        ? `${threeDigits(gflops / 1000)} TFLOP/s`
        : `${threeDigits(gflops)} GFLOP/s`;
  const told = {
    fmaF32: speed(fmaF32),
    fmaF16: speed(fmaF16),
    matrix: speed(matrix),
    copy: `${threeDigits(copy)} GB/s`,
  };
  const words = Object.entries(told).map(([name, text]) => [CEILING_WORDS[name as keyof typeof told], text]);
  fill('ceiling-list', Object.fromEntries(words));
}

function fill(id: string, terms: Readonly<Record<string, string>>): void {
  const pairs = Object.entries(terms).map(([term, text]) =>
    make('div', text.length > WIDE ? { className: 'wide' } : {}, make('dt', {}, term), make('dd', {}, text)),
  );
  box(id).replaceChildren(...pairs);
}
