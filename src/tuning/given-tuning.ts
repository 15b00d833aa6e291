/**
 * A tuning that a device is requested with: checked while nothing is done yet, so that a wrong name, a table of another adapter and one
 * of other kernels are refused where they are given. src/gpu loads this file then, and knows no kernel itself.
 */
import { InputError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import type { DeviceTuning, DeviceTuningTable, PlainTuning } from '../gpu/device-tuning.ts';
import { CheckedTuning } from '../kernels/op.ts';
import { checkTuning } from '../kernels/registry.ts';
import { keptTuning } from './kept-in-page.ts';
import { parseTuningTable } from './read-table.ts';
import { tuningFor } from './table.ts';

/** A tuning as it was given, and as kernels are chosen by it. */
export interface GivenTuning {
  /** A copy. */
  readonly given: DeviceTuning | DeviceTuningTable;
  /** Checked. */
  readonly choices: DeviceTuning;
}

/**
 * What a tuning says for a device.
 * @param asked 'kept' for the table in the browser's storage, where there is one
 * @param caps of the device
 * @returns undefined where no table is kept
 * @throws InputError for names that there are not, for what is no table, and for a table of another adapter or other kernels
 */
export async function givenTuning(asked: PlainTuning, caps: Caps): Promise<GivenTuning | undefined> {
  const found = asked === 'kept' ? await keptTuning(caps) : asked;
  if (found === undefined) return undefined;
  if (typeof found !== 'object' || found === null || Array.isArray(found)) refuse(found);
  if ('choices' in found) {
    const table = parseTuningTable(found);
    return { given: table, choices: checkTuning(tuningFor(table, caps)) };
  }
  const choices = checkTuning(found);
  if (found instanceof CheckedTuning) return { given: found, choices }; // what listens is no plain data
  const { force, table } = choices;
  return { given: structuredClone({ ...(force && { force }), ...(table && { table }) }), choices };
}

function refuse(value: unknown): never {
  throw new InputError({
    op: 'Gpu.request',
    problem: 'this is no tuning',
    expected: "a table of measured choices, choices by hand, or 'kept'",
    value,
    path: 'tuning',
    fix: 'Leave it out to have kernels chosen by their ranks.',
  });
}
