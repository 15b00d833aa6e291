/** An opened Stable Diffusion model: what its pipelines have in common, whatever they make of it. */
import { checkNames, namesOf } from '../../core/known-names.ts';
import { loadPart } from '../../core/load-part.ts';
import type { ClipTokenizer } from '../../tokenizers/index.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import { CALL_OPTIONS, type CallOptions } from '../runtime/progress.ts';
import type { Adapters } from './adapters.ts';
import { CallPlanner, type PlannerOptions } from './call-planner.ts';
import { LatentModel } from './latent-model.ts';
import type { LoraAdapters, LoraOptions } from './lora-adapters.ts';
import type { LoraSource } from './lora-file.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';
import type { TextualInversions } from './textual-inversion.ts';
import type { EmbeddingSource, TextualInversionOptions } from './textual-inversion-sources.ts';

const LORA_OPTIONS = [...namesOf<LoraOptions>({ adapterName: 1, scale: 1 }), ...CALL_OPTIONS];

/** What a model is made of as it is opened. */
export interface OpenedParts {
  readonly device: DeviceModel<StableDiffusionNetworks>;
  readonly folder: { readonly tokenizer: ClipTokenizer };
  readonly adapters: Adapters;
  /** How device memory is spent. */
  readonly memory: Pick<PlannerOptions, 'budget' | 'stream'>;
}

/** The networks, the device that they run on, and the adapters that act. */
export class SharedModel {
  /** The networks and the device that they run on. */
  readonly device: DeviceModel<StableDiffusionNetworks>;
  /** What phases work with. */
  readonly parts: LatentModel;
  /** Keeps the calls of all its pipelines within one budget. */
  readonly planner: CallPlanner;
  /** Merged into its weights. */
  readonly loras: LoraAdapters;
  /** Words that its prompts were taught. */
  readonly inversions: TextualInversions;

  constructor({ device, folder, adapters, memory }: OpenedParts, warn: (message: string) => void) {
    this.device = device;
    this.parts = new LatentModel(device.networks, folder.tokenizer, warn);
    this.planner = new CallPlanner(device, this.parts, { ...memory, warn });
    this.loras = adapters.loras;
    this.inversions = adapters.inversions;
  }

  /** `loadLoraWeights` */
  async loadLora(source: LoraSource, options: LoraOptions & CallOptions): Promise<string> {
    const op = 'loadLoraWeights';
    checkNames(op, options, LORA_OPTIONS);
    return this.device.call(op, options, call => this.loras.load(op, source, options, () => call.check()));
  }

  /** `loadTextualInversion` */
  loadTextualInversion(
    source: EmbeddingSource | readonly EmbeddingSource[],
    options: TextualInversionOptions,
  ): Promise<readonly string[]> {
    return this.device.call('loadTextualInversion', options, async call => {
      const { readInversions } = await loadPart(
        'the reader of textual inversion',
        () => import('./textual-inversion-sources.ts'),
      );
      const named = await readInversions(source, options);
      call.check();
      this.inversions.load(named);
      return named.map(({ token }) => token);
    });
  }
}
