/** What a call takes, by phase: counted from the buffers that it asks a device for, not from anybody's books. */
import { DeviceError } from '../../core/errors.ts';
import type { DryBuffer, DryObserver } from '../../gpu/dry-device.ts';
import type { Phase } from './progress.ts';

/** What one phase of a call takes. Bytes are the most at one time. */
export interface PhasePlan {
  /** 'load' is what lies on the device before the first phase. */
  readonly phase: Phase;
  /** Of the device in all; at most the sum of the next three, whose peaks need not be at one time. */
  readonly peakBytes: number;
  /** Weights on the device. */
  readonly weightBytes: number;
  /** Activations, inputs, results, constants, uniform words. */
  readonly activationBytes: number;
  /** Weights on their way, and results on their way back; the host sees this memory too. */
  readonly stagingBytes: number;
  /** Host memory beside the pictures: staging, and weights that the host keeps. */
  readonly hostBytes: number;
  /** The largest part of a buffer that a kernel binds. */
  readonly largestBinding: number;
  /** The largest buffer. */
  readonly largestBuffer: number;
  /** Kernel calls. */
  readonly dispatches: number;
  /** Floating-point operations, two a multiply-add. */
  readonly flops: number;
}

/** What a call takes in all. */
export interface CallPlan extends Omit<PhasePlan, 'phase'> {
  /** In the order in which they begin. */
  readonly phases: readonly PhasePlan[];
}

type Kind = 'weightBytes' | 'activationBytes' | 'stagingBytes';

/** What a buffer holds, by the names that src/tensor and src/gpu give theirs. */
function kindOf({ label }: Pick<DryBuffer, 'label'>): Kind {
  if (/\bweights(, slot)? \d+$/.test(label)) return 'weightBytes';
  return /^(weight staging|weights as stored|read back)\b/.test(label) ? 'stagingBytes' : 'activationBytes';
}

type Counts = { -readonly [K in keyof Omit<PhasePlan, 'phase'>]: number };

/** A plan that was given up, because it takes more than it may. */
export class OverBudget extends DeviceError {
  /** Bytes that it had come to. */
  readonly reached: number;

  constructor(reached: number, most: number) {
    super({
      op: 'plan',
      problem: 'the call takes more than it may',
      expected: `at most ${most} bytes`,
      received: reached,
    });
    this.reached = reached;
  }
}

/** Keeps account of a device's buffers, phase by phase. */
export class PlanLedger implements DryObserver {
  readonly #live: Record<Kind, number> = { weightBytes: 0, activationBytes: 0, stagingBytes: 0 };
  #limit = Number.POSITIVE_INFINITY;
  readonly #kept = new Map<unknown, number>();
  #phases: { phase: Phase; counts: Counts }[] = [];

  /** What follows belongs to this phase; one that is entered again goes on. */
  enter(phase: Phase): void {
    const known = this.#phases.findIndex(p => p.phase === phase);
    if (known >= 0) this.#phases.push(...this.#phases.splice(known, 1));
    else this.#phases.push({ phase, counts: zeros() });
    this.#note();
  }

  /**
   * Forgets the phases; what is live stays.
   * @param most device bytes beyond which the plan is given up with an OverBudget
   */
  restart(most: number = Number.POSITIVE_INFINITY): void {
    this.#phases = [];
    this.#limit = most;
  }

  created(buffer: DryBuffer): void {
    const { weightBytes, activationBytes, stagingBytes } = this.#live;
    const live = weightBytes + activationBytes + stagingBytes + buffer.size;
    if (live > this.#limit) throw new OverBudget(live, this.#limit); // there is no such buffer then
    this.#live[kindOf(buffer)] += buffer.size;
    this.#note();
    this.#most('largestBuffer', buffer.size);
  }

  destroyed(buffer: DryBuffer): void {
    this.#live[kindOf(buffer)] -= buffer.size;
  }

  bound(bytes: number): void {
    this.#most('largestBinding', bytes);
  }

  /** A program ran once. */
  ran(dispatches: number, flops: number): void {
    const now = this.#phases.at(-1)?.counts;
    if (!now) return;
    now.dispatches += dispatches;
    now.flops += flops;
  }

  /** The host keeps so many bytes of weights for a network. */
  hostKeeps(owner: unknown, bytes: number): void {
    this.#kept.set(owner, bytes);
    this.#note();
  }

  /** Everything since `restart`. */
  get plan(): CallPlan {
    const phases = this.#phases.map(({ phase, counts }) => ({ phase, ...counts }));
    const most = (key: keyof Counts): number => Math.max(0, ...phases.map(p => p[key]));
    const sum = (key: keyof Counts): number => phases.reduce((all, p) => all + p[key], 0);
    return {
      phases,
      peakBytes: most('peakBytes'),
      weightBytes: most('weightBytes'),
      activationBytes: most('activationBytes'),
      stagingBytes: most('stagingBytes'),
      hostBytes: most('hostBytes'),
      largestBinding: most('largestBinding'),
      largestBuffer: most('largestBuffer'),
      dispatches: sum('dispatches'),
      flops: sum('flops'),
    };
  }

  #note(): void {
    const { weightBytes, activationBytes, stagingBytes } = this.#live;
    this.#most('weightBytes', weightBytes);
    this.#most('activationBytes', activationBytes);
    this.#most('stagingBytes', stagingBytes);
    this.#most('peakBytes', weightBytes + activationBytes + stagingBytes);
    const kept = [...this.#kept.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#most('hostBytes', stagingBytes + kept);
  }

  #most(key: keyof Counts, value: number): void {
    const now = this.#phases.at(-1)?.counts;
    if (now && value > now[key]) now[key] = value;
  }
}

function zeros(): Counts {
  return {
    ...{ peakBytes: 0, weightBytes: 0, activationBytes: 0, stagingBytes: 0, hostBytes: 0 },
    ...{ largestBinding: 0, largestBuffer: 0, dispatches: 0, flops: 0 },
  };
}
