/**
 * How long calls take on a device: by the device's own clock, by the wall clock from submission to the end, or by the seconds of the
 * processor, which on a software adapter are the work itself however many others use the machine.
 */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { Gpu } from '../gpu/device.ts';
import { PassTimer, runPass } from '../gpu/pass-timer.ts';
import type { DispatchList } from '../kernels/dispatch.ts';
import { CLOCKS, type Clock } from './clock.ts';

export type { Clock } from './clock.ts';

/** What one run took. */
export interface Reading {
  /** Milliseconds, by the timestamps or by the wall clock. */
  readonly ms: number;
  /** Seconds of the processor, over all threads of this process; NaN where a page does not tell. */
  readonly cpu: number;
}

/** How a meter reads. */
export interface MeterOptions {
  /** Default the processor on software in Node, else timestamps where the device has them, else the wall clock. */
  readonly clock?: Clock | undefined;
}

const OPTIONS = namesOf<MeterOptions>({ clock: 1 });

/** Work of one submission on a GPU, beyond which a watchdog might bark. */
const FLOPS_PER_SUBMIT = 2e11;

/** Measures calls on one device. Calls are warm: who makes the list runs it once before. */
export class Meter {
  /** What `costOf` goes by. */
  readonly clock: Clock;
  readonly #gpu: Gpu;
  readonly #timer: PassTimer | undefined;

  private constructor(gpu: Gpu, clock: Clock) {
    this.#gpu = gpu;
    this.clock = clock;
    this.#timer = clock === 'timestamps' ? new PassTimer(gpu) : undefined;
  }

  /** @throws InputError for a clock that there is not here, DeviceError for timestamps of a device that has none */
  static create(gpu: Gpu, options: MeterOptions = {}): Meter {
    checkNames('Meter.create', options, OPTIONS);
    const { clock = clockOf(gpu) } = options;
    const there = CLOCKS.filter(name => name !== 'processor' || !Number.isNaN(usedCpu()));
    if (!there.includes(clock)) {
      throw new InputError({
        op: 'Meter.create',
        problem: 'there is no such clock here',
        expected: there,
        value: clock,
        path: 'clock',
        fix: 'Leave it out to get the best there is.',
      });
    }
    return new Meter(gpu, clock);
  }

  /**
   * Runs a list so many times in one pass and waits for the end; clocks that tick coarsely want a long sample.
   *
   * @param list built and run before
   * @returns what one of the runs took
   */
  async measure(list: DispatchList, times: number): Promise<Reading> {
    if (!(Number.isSafeInteger(times) && times > 0)) {
      throw new InputError({ op: 'Meter.measure', problem: 'no number of runs', value: times, path: 'times' });
    }
    const [cpu, start] = [usedCpu(), performance.now()];
    const stamped = await this.#run(list, times);
    const wall = performance.now() - start;
    const ms = stamped > 0 ? stamped / 1e6 : wall;
    return { ms: ms / times, cpu: (usedCpu() - cpu) / times };
  }

  /** What this meter's clock says of a reading, in milliseconds. */
  costOf({ ms, cpu }: Reading): number {
    return this.clock === 'processor' ? 1000 * cpu : ms;
  }

  /** Nanoseconds of all runs by the device's clock, else 0; in passes that no watchdog minds. */
  async #run(list: DispatchList, times: number): Promise<number> {
    const each = flopsOf(list);
    const together = this.#gpu.caps.software
      ? times
      : Math.max(1, Math.min(times, Math.floor(FLOPS_PER_SUBMIT / each)));
    let all = 0;
    for (let done = 0; done < times; done += together) {
      const encode: Parameters<PassTimer['time']>[0] = pass => {
        for (let i = 0; i < Math.min(together, times - done); i++) list.encode(pass);
      };
      if (this.#timer) all += await this.#timer.time(encode);
      else await runPass(this.#gpu, encode);
    }
    return all;
  }

  /** Frees what it holds on the device; lists stay. */
  dispose(): void {
    this.#timer?.dispose();
  }
}

function clockOf({ caps }: Gpu): Clock {
  if (caps.software && !Number.isNaN(usedCpu())) return 'processor';
  return caps.timestamps ? 'timestamps' : 'clock';
}

function flopsOf(list: DispatchList): number {
  let flops = 1;
  for (let i = 0; i < list.length; i++) flops += list.describe(i).flops;
  return flops;
}

/** Seconds of the processor since the process began; NaN in a page. */
function usedCpu(): number {
  const { process } = globalThis as { readonly process?: { cpuUsage?(): { user: number; system: number } } };
  const used = process?.cpuUsage?.();
  return used ? (used.user + used.system) / 1e6 : Number.NaN;
}
