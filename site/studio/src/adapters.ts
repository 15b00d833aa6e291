/** The panel of LoRA adapters: each has a weight, and can be removed. */
import type { WorkerPipeline } from 'pentimento/worker';
import { box, input, make } from '../../shared/elements.ts';

/** Who is told. */
export interface AdapterHost {
  /** Runs a piece of work while nothing else runs. */
  readonly busy: (
    text: string,
    work: (pipe: WorkerPipeline, signal: AbortSignal) => Promise<string>,
  ) => Promise<unknown>;
}

/** The adapters of the model that is open. */
export class AdapterPanel {
  readonly #host: AdapterHost;
  readonly #weights = new Map<string, number>();

  constructor(host: AdapterHost) {
    this.#host = host;
    input('lora').addEventListener('change', () => {
      const [file] = input('lora').files ?? [];
      if (file) void this.#add(file);
      input('lora').value = '';
    });
  }

  /** Adapters and their weights, for the key of what was computed with them. */
  get state(): readonly (readonly [string, number])[] {
    return [...this.#weights];
  }

  /** Another model has none. */
  forget(): void {
    this.#weights.clear();
    this.#show();
  }

  #add(file: File): Promise<unknown> {
    return this.#host.busy(`Reading ${file.name}…`, async (pipe, signal) => {
      const adapterName = file.name.replace(/\.[^.]*$/, '').replace(/\W+/g, '_');
      const name = await pipe.loadLoraWeights(file, { adapterName, signal });
      this.#weights.set(name, 1);
      await this.#apply(pipe);
      return `${name} acts from the next edit on.`;
    });
  }

  #remove(name: string): Promise<unknown> {
    return this.#host.busy(`Removing ${name}…`, async pipe => {
      await pipe.deleteAdapters(name);
      this.#weights.delete(name);
      await this.#apply(pipe);
      return `${name} is gone.`;
    });
  }

  #weigh(name: string, weight: number): Promise<unknown> {
    return this.#host.busy('Weighing the adapters…', async pipe => {
      this.#weights.set(name, weight);
      await this.#apply(pipe);
      return `${name} has a weight of ${weight}.`;
    });
  }

  async #apply(pipe: WorkerPipeline): Promise<void> {
    this.#show();
    if (this.#weights.size > 0) await pipe.setAdapters([...this.#weights.keys()], [...this.#weights.values()]);
  }

  #show(): void {
    const rows = [...this.#weights].map(([name, weight]) => {
      const field = make('input', { type: 'number', step: 'any', value: String(weight) });
      field.addEventListener('change', () => void this.#weigh(name, field.valueAsNumber || 0));
      const remove = make('button', { type: 'button' }, 'Remove');
      remove.setAttribute('aria-label', `Remove ${name}`);
      remove.addEventListener('click', () => void this.#remove(name));
      return make('li', { className: 'row' }, make('label', {}, `${name} `, field), remove);
    });
    box('adapters').replaceChildren(...rows);
    box('no-adapters').hidden = rows.length > 0;
  }
}
