/** What a single-file checkpoint is given as, what it is opened with, and what comes of it. */
import type { BlobLike, UrlLike } from '../../core/platform.ts';
import type { ByteSource, FolderSource } from '../../core/tensor-source.ts';
import type { PredictionType } from '../../schedulers/index.ts';

/**
 * What holds a single-file checkpoint: bytes at an offset (`fileSource` of pentimento/node, `readerSource`), a File or Blob, bytes, an
 * address.
 */
export type SingleFileSource = ByteSource | BlobLike | ArrayBuffer | Uint8Array | UrlLike | string;

/** What a single file does not hold, or not for certain. */
export interface SingleFileOptions {
  /**
   * The folder with CLIP's vocabulary: vocab.json and merges.txt, or tokenizer.json, itself or in `tokenizer`. No checkpoint holds it;
   * openai/clip-vit-large-patch14 on the Hub is where it comes from. Needed unless `config` has one.
   */
  readonly tokenizer?: FolderSource | undefined;
  /** A diffusers folder whose configs (not weights) are taken instead of those that the shapes give, as diffusers' `config`. */
  readonly config?: FolderSource | undefined;
  /** The parsed training config of LDM (v1-inference.yaml, v2-inference-v.yaml), as diffusers' `original_config`; not with `config`. */
  readonly originalConfig?: Readonly<Record<string, unknown>> | undefined;
  /** What the UNet predicts; by default what configs or the file's metadata say, else a guess that is told as a warning. */
  readonly predictionType?: PredictionType | undefined;
  /** Takes the UNet's moving average where the file holds both. Default false, as in diffusers. */
  readonly extractEma?: boolean | undefined;
  /** Told of guesses and of tensors that nobody needs; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A single file in diffusers' layout. */
export interface SingleFile {
  /** For `DiffEditPipeline.fromPretrained`, `runGuide` and whatever takes a model folder. */
  readonly folder: FolderSource;
  /** Every file of the folder, by its relative path. */
  readonly paths: readonly string[];
  /** Gives the file back once everything that was opened of the folder is closed too. */
  readonly close: () => Promise<void>;
}
