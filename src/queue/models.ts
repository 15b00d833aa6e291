/** The models that a worker serves, of which one is loaded. */
import type { Editor } from '../pipeline/batch/picture-edit.ts';

/** A model that a worker can open. */
export interface FleetModel {
  /** As `modelKey` makes it: which jobs are its. */
  readonly key: string;
  /** A name for people. */
  readonly id: string;
  /** Opens it on the device. */
  open(o: { readonly signal: AbortSignal }): Promise<OpenFleetModel>;
}

/** A model that is open. */
export interface OpenFleetModel {
  /** The pipeline. */
  readonly editor: Editor;
  /** Adapter. */
  readonly device: string;
  /** Device bytes that it holds. */
  readonly bytes?: number;
  /** Device bytes that it held at most. */
  readonly peakBytes?: number;
  /** Keeps one network at a time on the device from now on. */
  offload?(): void;
  /** Lets go of the device. */
  dispose(): void | Promise<void>;
}

/** One model at a time. */
export class LoadedModel {
  #open: { readonly model: FleetModel; readonly opened: OpenFleetModel } | undefined;
  /** Whether it was told to offload; it stays so. */
  #offloads = false;

  /** The model that is open, whichever it is. */
  get current(): OpenFleetModel | undefined {
    return this.#open?.opened;
  }

  /**
   * The model, opened where it is not, and the one before disposed.
   * @throws what opening throws
   */
  async take(model: FleetModel, how: { readonly signal: AbortSignal }): Promise<OpenFleetModel> {
    if (this.#open?.model === model) return this.#open.opened;
    await this.close();
    const opened = await model.open(how);
    if (this.#offloads) opened.offload?.();
    this.#open = { model, opened };
    return opened;
  }

  /**
   * Has models offload from now on.
   * @returns false where that was so, or cannot be
   */
  offload(): boolean {
    const { opened } = this.#open ?? {};
    if (this.#offloads || !opened?.offload) return false;
    this.#offloads = true;
    opened.offload();
    return true;
  }

  /** Disposes what is open. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.opened.dispose();
  }
}
