/** What a call takes, looked at before it begins: refused where it cannot fit, and made to fit a budget. */
import { checkByName, checkNames, namesOf } from '../../core/known-names.ts';
import { loadPart } from '../../core/load-part.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { type Caps, checkCaps } from '../../gpu/caps.ts';
import type { StreamLimits } from '../../tensor/streamed-weights.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import { withoutSteps } from '../runtime/drain.ts';
import type { DryCall } from '../runtime/dry-model.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import type { Networks } from '../runtime/network.ts';
import type { CommonArgs } from './encode-prompt-types.ts';
import type { LatentModel } from './latent-model.ts';
import type { ChosenSavings, MemoryBudget, Savings, Streams } from './memory-budget.ts';
import { type PlannedCall, promptsKey, type SavingsPlan } from './planned-call.ts';
import type { PromptRequest } from './prompt-request.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** What a machine has left beside weights and activations where nobody has to look. */
const AMPLE_BYTES = 2 ** 29;
/** Requests that are remembered as planned. */
const REMEMBERED = 64;

/** What `plan` takes beside the arguments of the call. */
export interface CallPlanOptions {
  /** What the device grants on which the call would run, such as DEFAULT_CAPS; default this pipeline's. */
  readonly caps?: Caps | undefined;
}

const CALL_PLAN_OPTIONS = namesOf<CallPlanOptions>({ caps: 1 });

/** What a planner is told once. */
export interface PlannerOptions {
  /** undefined: a call may take what the device gives. */
  readonly budget: MemoryBudget | undefined;
  /** How the UNet's weights are streamed without any need. */
  readonly stream: StreamLimits | undefined;
  /** Told what is done to stay within the budget. */
  readonly warn: (message: string) => void;
}

/** On which device, and until when. */
interface DryOptions {
  /** Default the pipeline's own. */
  readonly caps?: Caps | undefined;
  /** Ends the planning with its reason. */
  readonly signal?: AbortSignalLike | undefined;
}

/** What keeps calls within a budget: most have none. */
const loadSavings = () => loadPart('what saves device memory', () => import('./memory-budget.ts'));

/** Plans the calls of one model, whichever of its pipelines makes them. */
export class CallPlanner {
  readonly #device: DeviceModel<StableDiffusionNetworks>;
  readonly #model: LatentModel;
  readonly #options: PlannerOptions;
  /** Requests without a budget that the device takes, and their bytes at the peak. */
  readonly #fitting = new Map<string, number>();
  /** What was chosen for requests within the budget. */
  readonly #chosen = new Map<string, Savings>();
  /** The call whose programs lie on the device: one that is its like finds them there, any other wants none. */
  #kept: string | undefined;
  #told = '';

  constructor(device: DeviceModel<StableDiffusionNetworks>, model: LatentModel, options: PlannerOptions) {
    this.#device = device;
    this.#model = model;
    this.#options = options;
  }

  /**
   * What a call takes, with the savings that the budget asks for.
   * @param plannedOf settles the arguments, which are an object by then
   * @throws InputError for what are no arguments or options; DeviceError where it fits with none
   */
  async plan(args: CommonArgs, options: CallPlanOptions, plannedOf: () => PlannedCall): Promise<CallPlan> {
    const op = 'plan';
    const [how, { budget }] = [this.#askedFor(op, args, options), this.#options];
    const planned = plannedOf();
    if (!budget) {
      const plan = await this.#planWith(planned, this.#own, how);
      if (how.caps === undefined) this.#remember(this.#keyOf(planned), plan.peakBytes); // the call itself need not look again
      return plan;
    }
    return (await this.#choose(op, budget, planned, how)).plan;
  }

  /** Savings for a budget. @throws DeviceError where it fits with none */
  async #choose(op: string, budget: MemoryBudget, planned: PlannedCall, how: DryOptions = {}): Promise<ChosenSavings> {
    const key = this.#keyOf(planned);
    const { savingsFor, homeOf } = await loadSavings();
    const home = homeOf(planned, this.#device, this.#own);
    const chosen = await savingsFor(op, budget, home, {
      known: this.#chosen.get(key),
      plan: (savings, maxBytes, keepPrograms) => this.#planWith(planned, savings, { ...how, maxBytes, keepPrograms }),
    });
    this.#chosen.set(key, chosen.savings);
    keepLatest(this.#chosen);
    return chosen;
  }

  /** What a call takes with each saving and all before it, in their order; what the device would refuse has no plan. @throws as plan */
  async savings(args: CommonArgs, options: CallPlanOptions, plannedOf: () => PlannedCall): Promise<SavingsPlan[]> {
    const how = this.#askedFor('planSavings', args, options);
    const planned = plannedOf();
    const { homeOf, planEach } = await loadSavings();
    const home = homeOf(planned, this.#device, this.#own);
    return planEach(home, this.#options.budget?.allowTiles ?? false, savings => this.#planWith(planned, savings, how));
  }

  #askedFor(op: string, args: CommonArgs, options: CallPlanOptions): DryOptions {
    checkByName(op, args);
    checkNames(op, options, CALL_PLAN_OPTIONS);
    if (options.caps !== undefined) checkCaps(op, options.caps);
    this.#device.checkOpen(op);
    return { caps: options.caps, signal: args.signal };
  }

  /**
   * Looks whether a call fits before its first phase, and sets the model up for it.
   * @throws DeviceError for what the device would refuse, and where the call fits its budget with no saving
   */
  async prepare(op: string, call: DeviceCall, planned: PlannedCall): Promise<void> {
    const key = this.#keyOf(planned);
    const kept = this.#kept === key;
    this.#kept = undefined;
    if (!kept) this.#device.rest();
    const { budget } = this.#options;
    if (budget) return this.#fit(op, this.#within(budget), { call, planned, key });
    this.#kept = key;
    this.#adjust(this.#model, this.#own);
    if (this.#isSmall(planned)) return;
    const peak = this.#fitting.get(key) ?? (await this.#planWith(planned, this.#own)).peakBytes;
    call.check();
    const { gpu, memory } = this.#device;
    gpu.memory.checkRoom(op, 'the whole call', peak - memory.bytes);
    this.#remember(key, peak);
  }

  /** The same for a part of the model alone, of which only a budget asks. @throws as prepare */
  async preparePart(op: string, call: DeviceCall, planned: PlannedCall): Promise<void> {
    if (this.#options.budget) return this.prepare(op, call, planned);
    this.#kept = undefined;
  }

  /** The same for prompts alone. @throws as prepare */
  prepareText(op: string, call: DeviceCall, prompts: PromptRequest): Promise<void> {
    return this.preparePart(op, call, {
      ...{ key: promptsKey(prompts), networks: ['textEncoder'] },
      work: (dry, model) => withoutSteps(() => model.prompts.encode(dry, prompts)),
    });
  }

  #remember(key: string, peak: number): void {
    this.#fitting.set(key, peak);
    keepLatest(this.#fitting);
  }

  /** What the machine has left may be less than what the call may take. */
  #within(budget: MemoryBudget): MemoryBudget {
    const { gpu, memory } = this.#device;
    const { room = Number.POSITIVE_INFINITY } = gpu.memory;
    return { ...budget, maxBytes: Math.min(budget.maxBytes, memory.bytes + room) };
  }

  async #fit(
    op: string,
    budget: MemoryBudget,
    { call, planned, key }: { readonly call: DeviceCall; readonly planned: PlannedCall; readonly key: string },
  ): Promise<void> {
    const { savings, plan, keep } = await this.#choose(op, budget, planned);
    const { describeSavings, toldOf } = await loadSavings();
    if (savings.offload) {
      this.#device.clear();
      call.enableOffload();
    } else if (keep) {
      call.keepPrograms();
      this.#kept = key;
    } else {
      this.#device.rest();
    }
    for (const [name, limits] of Object.entries(everyStream(savings.streams))) {
      const network = this.#device.networks[name as keyof StableDiffusionNetworks];
      this.#device.stream(network, limits, this.#device.offload || savings.offload);
    }
    this.#adjust(this.#model, savings);
    call.check();
    const said = describeSavings(savings, this.#own);
    if (said === this.#told || said === '') return;
    this.#told = said;
    this.#options.warn(toldOf(said, plan, budget));
  }

  #planWith(
    planned: PlannedCall,
    savings: Savings,
    how: DryOptions & Pick<DryCall, 'keepPrograms' | 'maxBytes'> = {},
  ): Promise<CallPlan> {
    const work = (call: DeviceCall, networks: Networks<StableDiffusionNetworks>): AsyncGenerator<unknown, unknown> => {
      const twin = this.#model.twin(call, networks);
      this.#adjust(twin, savings);
      return planned.work(call, twin);
    };
    const { offload, streams } = savings;
    const fresh = offload && !this.#device.offload;
    return this.#device.plan(work, { ...how, offload, fresh, streams: everyStream(streams) });
  }

  #adjust(model: LatentModel, { slicing, tiling, rows }: Savings): void {
    model.autoencoder.saving = { slicing, tiling };
    model.denoiser.rowsAtOnce = rows;
  }

  /**
   * Whether nothing of a request can meet a limit of the device or of the machine: rows of the UNet are at most 8 times as wide as its
   * first level (gates of a feed-forward layer; deeper levels are wider and have fewer), the VAE's as wide as the level below theirs.
   */
  #isSmall(planned: PlannedCall): boolean {
    const { caps, memory } = this.#device.gpu;
    const { maxBindingBytes, maxBufferBytes } = caps;
    const { unet, vae } = this.#device.networks;
    const { rows = 1, pictures = 1, sides: [height = 0, width = 0] = [] } = planned;
    const first = Math.max(...unet.model.config.levels.map(level => level.channels), 0) * 8;
    const { channels } = vae.model.config;
    // Per latent; an upsampled value has the channels of the level that it comes from.
    const levels = channels.map(
      (own, i) => Math.max(own, channels[i + 1] ?? 0) * (this.#model.vaeScaleFactor / 2 ** i) ** 2,
    );
    const largest = 4 * height * width * Math.max(rows * first, pictures * Math.max(...levels));
    if (largest > Math.min(maxBindingBytes, maxBufferBytes)) return false;
    const weights = Object.values(this.#device.networks).reduce((sum, { bytesToRead }) => sum + bytesToRead, 0);
    return (memory.room ?? Number.POSITIVE_INFINITY) >= 2 * weights + 8 * largest + AMPLE_BYTES;
  }

  /** As the pipeline is set. */
  get #own(): Savings {
    const { slicing, tiling } = this.#model.autoencoder;
    const { stream } = this.#options;
    return { slicing, tiling, offload: this.#device.offload, streams: stream ? { unet: stream } : {}, rows: undefined };
  }

  /** Everything of a call, and of how its model is set, that decides what it takes. */
  #keyOf({ key }: PlannedCall): string {
    const { slicing, tiling, offload, streams } = this.#own;
    const revisions = Object.values(this.#device.networks).map(network => network.revision);
    return JSON.stringify([key, slicing, tiling, offload, streams, revisions]);
  }
}

/** Also of the networks that are not streamed. */
function everyStream(streams: Streams): Record<keyof StableDiffusionNetworks, StreamLimits | undefined> {
  return { textEncoder: undefined, unet: undefined, vae: undefined, ...streams };
}

/** Forgets what came first. */
function keepLatest(map: Map<string, unknown>): void {
  for (const old of [...map.keys()].slice(0, Math.max(0, map.size - REMEMBERED))) map.delete(old);
}
