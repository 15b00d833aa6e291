/** The device of a command, and by which tuning its kernels are chosen. */
import { readFile } from 'node:fs/promises';
import { InputError } from '../core/errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { GpuOptions } from '../gpu/grant.ts';
import { paceDawn } from '../node/dawn-pace.ts';
import { requestGpu } from '../node/device.ts';
import { reason } from '../node/files.ts';
import { keptTuning } from '../node/kept-tuning.ts';
import { parseTuningTable } from '../tuning/read-table.ts';
import { keyOfTable } from '../tuning/table.ts';
import type { DeviceOptions } from './options.ts';
import { choices } from './tune-report.ts';

/** Which options say what device a command takes. */
export type OpenOptions = Pick<DeviceOptions, 'device' | 'maxBinding' | 'trusted' | 'tuning'> &
  Pick<GpuOptions, 'without'>;

/**
 * Takes a device; on a software one, waiting leaves the processor to the work.
 * @param o.device any part of the adapter's name; undefined for Dawn's choice
 * @param o.maxBinding bytes; undefined for what the adapter allows
 * @param o.trusted leaves out Dawn's checks of indices
 * @param o.tuning a file, or 'none'; undefined for the table that is kept for the adapter
 * @param o.without optional features that it shall do without
 * @param note told of the table that is used, and of one that cannot be
 * @throws as requestGpu; InputError for a file that holds no tuning
 */
export async function openDevice(
  { device, maxBinding, trusted, tuning, without }: OpenOptions,
  note: (line: string) => void,
): Promise<Gpu> {
  const asked = await tuningFrom(tuning, note);
  const request = { adapterName: device, maxBindingBytes: maxBinding, trusted, without };
  const gpu = await requestGpu({ ...request, tuning: asked });
  if (gpu.caps.software) paceDawn();
  const told = tuningReport(gpu);
  if (told)
    note(`Kernels are chosen by ${told.table}: ${choices(told.choices)}. --tuning none leaves them to their ranks.`);
  return gpu;
}

/** What results say of the tuning that was in effect: it is part of what the same bits hold fixed. */
export interface TuningReport {
  /** Name of a table, by which the cache lists it; 'choices by hand' for others. */
  readonly table: string;
  /** When it was measured; undefined for choices by hand. */
  readonly made: string | undefined;
  /** How many choices it holds. */
  readonly choices: number;
}

/** @returns null where kernels were chosen by rank alone */
export function tuningReport({ tuning }: Gpu): TuningReport | null {
  if (tuning === undefined) return null;
  if ('choices' in tuning) {
    const table = parseTuningTable(tuning);
    return { table: keyOfTable(table), made: table.made, choices: table.choices.length };
  }
  const count = Object.keys(tuning.force ?? {}).length + (tuning.table ?? []).length;
  return { table: 'choices by hand', made: undefined, choices: count };
}

async function tuningFrom(asked: string | undefined, note: (line: string) => void): Promise<GpuOptions['tuning']> {
  if (asked === 'none') return undefined;
  if (asked === undefined) return caps => keptTuning(caps, { onWarning: note });
  const refuse = (problem: string, cause: unknown): never => {
    const fix = 'Name a file that `pentimento tune --out` wrote, or none.';
    throw new InputError({ op: 'tuning', problem, received: reason(cause), path: asked, fix, cause });
  };
  const text = await readFile(asked, 'utf8').catch(cause => refuse('the file cannot be read', cause));
  try {
    return JSON.parse(text);
  } catch (cause) {
    return refuse('the file is no JSON', cause);
  }
}
