/** The networks of a model once more, on a device that runs nothing: a call that is made on them tells what it takes. */
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Caps } from '../../gpu/caps.ts';
import { Gpu } from '../../gpu/device.ts';
import type { StreamLimits } from '../../tensor/streamed-weights.ts';
import { DeviceCall } from './device-call.ts';
import { DeviceMemory } from './device-memory.ts';
import { type CallPlan, PlanLedger } from './memory-plan.ts';
import type { Network, Networks } from './network.ts';

/** How the call would be made. */
export interface DryCall {
  /** Only one network on the device at a time. */
  readonly offload: boolean;
  /** Programs of all networks stay while others work. */
  readonly keepPrograms?: boolean | undefined;
  /** Gives up with an OverBudget beyond so many device bytes. */
  readonly maxBytes?: number | undefined;
  /** Begins with nothing on the device, whatever is there now. */
  readonly fresh?: boolean | undefined;
  /** How the weights of networks are kept, by their names; the others as they are now. */
  readonly streams?: Readonly<Record<string, StreamLimits | undefined>> | undefined;
  /** The host keeps a copy of weights that go to the device again. */
  readonly hostMemory?: boolean | undefined;
  /** Bytes of weights on their way at once. */
  readonly stagingBytes: number | undefined;
  /** Steps between copies that are kept in case the device is lost; 0 for none. */
  readonly keepEvery?: number | undefined;
  /** Ends the planning with its reason. */
  readonly signal: AbortSignalLike | undefined;
}

/** How the networks run, beside what the device grants. */
export interface DryModelOptions {
  /** Of activations, and, for float16, of weights. */
  readonly dtype: 'float32' | 'float16';
  /** By which kernels are chosen on the model's own device. */
  readonly tuning: Gpu['choices'];
}

/** Twins of a model's networks as they are now: bound to the same checkpoints and adapters, without values. */
export class DryModel<M> {
  readonly #ledger = new PlanLedger();
  readonly #caps: Caps;
  readonly #memory: DeviceMemory;
  readonly #names: readonly string[];
  readonly #real: readonly Network<unknown>[];
  readonly #revisions: readonly number[];
  readonly #twins: readonly Network<unknown>[];
  readonly #networks: Networks<M>;
  /** Plans are made one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(real: Networks<M>, caps: Caps, { dtype, tuning }: DryModelOptions) {
    this.#caps = caps;
    this.#memory = new DeviceMemory(Gpu.dry(caps, this.#ledger, { tuning }), dtype, this.#ledger);
    const entries = Object.entries<Network<unknown>>(real);
    this.#names = entries.map(([name]) => name);
    this.#real = entries.map(([, network]) => network);
    this.#revisions = this.#real.map(network => network.revision);
    this.#twins = this.#real.map(network => network.twin(this.#memory));
    this.#networks = Object.fromEntries(entries.map(([key], i) => [key, this.#twins[i]])) as unknown as Networks<M>;
  }

  /** Whether it is the twin of these networks as they are now, on a device of these capabilities. */
  fits(real: Networks<M>, caps: Caps): boolean {
    const now = Object.values<Network<unknown>>(real);
    return this.#caps === caps && now.every((network, i) => network.revision === this.#revisions[i]);
  }

  /** What a call takes that starts with the weights on the device that are there now. @throws whatever the call throws */
  plan(
    work: (call: DeviceCall, networks: Networks<M>) => AsyncGenerator<unknown, unknown>,
    how: DryCall,
  ): Promise<CallPlan> {
    const made = this.#last.then(() => this.#make(work, how));
    this.#last = made.catch(() => undefined);
    return made;
  }

  async #make(
    work: (call: DeviceCall, networks: Networks<M>) => AsyncGenerator<unknown, unknown>,
    { offload, keepPrograms, maxBytes, fresh, streams = {}, hostMemory, stagingBytes, keepEvery, signal }: DryCall,
  ): Promise<CallPlan> {
    const home = {
      ...{ memory: this.#memory, networks: this.#twins, stagingBytes, offload, keepEvery },
      checkDisposed: () => undefined,
    };
    const call = new DeviceCall(home, { signal });
    try {
      for (const [i, network] of this.#real.entries()) {
        call.check();
        const twin = this.#twins[i] as Network<unknown>;
        const { stream: now } = network.keeping;
        const name = this.#names[i] as string;
        const stream = name in streams ? streams[name] : now;
        twin.keep({ stream, hostMemory: hostMemory && (offload || stream !== undefined) });
        if (network.loaded && !fresh && sameLimits(stream, now)) await twin.load({ stagingBytes });
      }
      if (keepPrograms) call.keepPrograms();
      this.#ledger.restart(maxBytes);
      this.#ledger.enter('load');
      for await (const _ of work(call, this.#networks)) call.check();
      return this.#ledger.plan;
    } finally {
      this.#ledger.restart();
      call.close();
      for (const network of this.#twins) network.dispose();
    }
  }
}

/** Whether weights that are kept so may stay as they are. */
export function sameLimits(a: StreamLimits | undefined, b: StreamLimits | undefined): boolean {
  if (!a || !b) return a === b;
  return a.slotBytes === b.slotBytes && a.residentBytes === b.residentBytes;
}
