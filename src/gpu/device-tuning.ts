/**
 * What a device is told of the choice of its kernels, in the form that this layer hands on: names and numbers, which only the layers of
 * kernels and of tuning understand.
 */

import type { Caps } from './caps.ts';

/** A choice for the problems of an op: `TunedChoice` of 'pentimento/kernels'. */
export interface DeviceChoice {
  /** Name of the op. */
  readonly op: string;
  /** Which of its problems; default all. */
  readonly where?: Readonly<Record<string, readonly [least: number, most: number] | string | boolean>> | undefined;
  /** Name of one of its variants. */
  readonly variant: string;
  /** Sizes of its tiles; default its own. */
  readonly tiles?: Readonly<Record<string, number>> | undefined;
}

/** Which variants of the kernels run where a call names none, as plain data: `Tuning` of 'pentimento/kernels'. */
export interface DeviceTuning {
  /** Variants by op: taken, or an InputError where they cannot run a problem. */
  readonly force?: Readonly<Record<string, string>> | undefined;
  /** The first that matches a problem and can run it is taken. */
  readonly table?: readonly DeviceChoice[] | undefined;
}

/** A table that was measured: `TuningTable` of 'pentimento/tuning', or the same read from a file. It serves the adapter that it names, with the kernels that it was measured with. */
export interface DeviceTuningTable {
  /** Of the form of the table. */
  readonly version: 1;
  /** SHA-256 of the texts of all kernels. */
  readonly kernels: string;
  /** What was measured. */
  readonly choices: readonly DeviceChoice[];
}

/** A tuning as it passes a worker's messages; 'kept': the table that was kept for the adapter, where there is one. */
export type PlainTuning = DeviceTuning | DeviceTuningTable | 'kept';

/** Finds the table of a device by what it grants; undefined for none. */
export type FindTuning = (caps: Caps) => DeviceTuningTable | undefined | Promise<DeviceTuningTable | undefined>;
