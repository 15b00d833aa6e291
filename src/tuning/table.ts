/** Measured choices as they are stored: of which adapter, of which texts, and what was measured. */
import { InputError } from '../core/errors.ts';
import type { Caps, HalfStorage, MatrixUnits } from '../gpu/caps.ts';
import type { TunedChoice, Tuning } from '../kernels/op.ts';
import { KERNELS_HASH } from './built-from.ts';
import type { Clock } from './clock.ts';

/** What a choice gains, in milliseconds by the table's clock. */
export interface ChoiceFigures {
  /** Of the variant and tiles that were chosen. */
  readonly ms: number;
  /** Of those that the device gets without a table. */
  readonly defaultMs: number;
  /** How many candidates were timed. */
  readonly candidates: number;
  /** Candidates that were thrown out, by name, and why. */
  readonly refused?: Readonly<Record<string, string>> | undefined;
}

/** A choice with its figures. */
export interface MeasuredChoice extends TunedChoice {
  /** What was measured. */
  readonly figures?: ChoiceFigures | undefined;
}

/** The adapter as it names itself. */
export type AdapterNames = Pick<Caps, 'vendor' | 'architecture' | 'device' | 'description'>;

/** What of a device decides which variants fit it. */
export interface DeviceFacts {
  /** Form of halves. */
  readonly half: HalfStorage;
  /** 0 where it is not one fixed size. */
  readonly subgroupSize: number;
  /** Whether it is Vulkan in software. */
  readonly software: boolean;
  /** Fragments of matrix units in reach, as `f16 16x16x16`; left out where there are none. */
  readonly matrix?: string | undefined;
  /** Bytes that a workgroup shares. */
  readonly maxWorkgroupBytes: number;
  /** Invocations of the largest workgroup. */
  readonly maxInvocations: number;
}

/** Measured choices of one adapter: plain data, as JSON holds it. */
export interface TuningTable {
  /** Of this form. */
  readonly version: 1;
  /** Version of the library that measured. */
  readonly library: string;
  /** Whose choices they are. */
  readonly adapter: AdapterNames;
  /** What it granted. */
  readonly device: DeviceFacts;
  /** SHA-256 of all texts of kernels. */
  readonly kernels: string;
  /** When it was made: ISO 8601. */
  readonly made: string;
  /** What was read. */
  readonly clock: Clock;
  /** The first that matches is taken. */
  readonly choices: readonly MeasuredChoice[];
}

/** What helps where a table does not. */
export const REMEASURE = 'Measure anew with `pentimento tune`, or tune().';

/** The adapter's own names. */
export function adapterOf({ vendor, architecture, device, description }: AdapterNames): AdapterNames {
  return { vendor, architecture, device, description };
}

/** What of a device's capabilities decides its choices. */
export function factsOf(caps: Caps): DeviceFacts {
  const { half, subgroupSize, software, matrix, maxWorkgroupBytes, maxInvocations } = caps;
  const facts = { half, subgroupSize, software, maxWorkgroupBytes, maxInvocations };
  return matrix ? { ...facts, matrix: fragments(matrix) } : facts;
}

function fragments({ component, m, n, k, lanes, preferred }: MatrixUnits): string {
  return `${component} ${m}x${n}x${k}, subgroups of ${lanes}${preferred ? '' : ', last'}`;
}

/**
 * Under what a table is kept, fit for a file's name: the adapter in words, then a number of all that must agree.
 * @param kernels SHA-256 of all texts; default this library's
 */
export function tuningKey(caps: Caps, kernels: string = KERNELS_HASH): string {
  return keyOfTable({ adapter: caps, device: factsOf(caps), kernels });
}

/** The key of the device that a table was measured on, with the texts that it was measured with. */
export function keyOfTable({ adapter, device, kernels }: Pick<TuningTable, 'adapter' | 'device' | 'kernels'>): string {
  const { vendor, architecture, description } = adapter;
  const words = [vendor, architecture, description || adapter.device].join(' ').toLowerCase();
  const name = words
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 60)
    .replace(/-$/, '');
  const { half, subgroupSize, software, maxWorkgroupBytes, maxInvocations, matrix = '' } = device;
  const facts = [half, subgroupSize, software, maxWorkgroupBytes, maxInvocations, matrix];
  const all = JSON.stringify([vendor, architecture, adapter.device, description, ...facts]);
  return `${name || 'adapter'}-${number32(all)}-${kernels.slice(0, 12)}`;
}

/** FNV-1a, eight hexadecimal digits: tells adapters apart that have one name in words. */
function number32(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

/** What plans and weights take of a table: its choices without their figures. */
export function tuningOf({ choices }: Pick<TuningTable, 'choices'>): Tuning {
  // Fields that nobody knows stay, to be refused by name.
  return { table: choices.map(({ figures: _, ...choice }) => choice) };
}

/**
 * The choices of a table for a device, which must be the one that it was measured on, running the same texts.
 *
 * @param caps of the device
 * @param kernels SHA-256 of all texts; default this library's
 * @throws InputError that names what differs
 */
export function tuningFor(table: TuningTable, caps: Caps, kernels: string = KERNELS_HASH): Tuning {
  const differ = (problem: string, expected: unknown, value: unknown, path: string): never => {
    throw new InputError({ op: 'tuningFor', problem, expected, value, path, fix: REMEASURE });
  };
  if (table.kernels !== kernels) {
    differ('the table was measured with other kernels', kernels.slice(0, 12), table.kernels.slice(0, 12), 'kernels');
  }
  for (const [name, own] of Object.entries(adapterOf(caps))) {
    const value = table.adapter[name as keyof AdapterNames];
    if (value !== own) differ('the table was measured on another adapter', own, value, `adapter.${name}`);
  }
  const facts = factsOf(caps);
  for (const name of new Set([...Object.keys(facts), ...Object.keys(table.device)]) as Set<keyof DeviceFacts>) {
    const value = table.device[name];
    if (value !== facts[name])
      differ('the table was measured on a device that grants other things', facts[name], value, `device.${name}`);
  }
  return tuningOf(table);
}
