/** BLIP's picture preparation: preprocessor_config.json, Pillow's resizing, the same float32 steps as numpy takes. */
import { InputError } from '../../core/errors.ts';
import { checkMember } from '../../core/kinds.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { checkImage, greyToRgb, isGrey, type PictureSize } from '../../io/image.ts';
import { asList, type Picture } from '../../io/preprocess.ts';
import { type Resample, resize } from '../../io/resize.ts';

/** preprocessor_config.json. */
export interface BlipProcessorConfig {
  /** Whether pictures are brought to `size`. Default true. */
  readonly resize: boolean;
  /** Sides that the model was trained on. Default 384 x 384. */
  readonly size: PictureSize;
  /** Pillow's filter. Default bicubic. */
  readonly resample: Resample;
  /** Whether bytes are multiplied by `rescaleFactor`. Default true. */
  readonly rescale: boolean;
  /** What bytes are multiplied by before mean and deviation; default 1 / 255. */
  readonly rescaleFactor: number;
  /** Whether (x - mean) / std follows. Default true. */
  readonly normalize: boolean;
  /** By channel: R, G, B. */
  readonly mean: readonly [number, number, number];
  /** By channel: R, G, B; CLIP's deviations by default. */
  readonly std: readonly [number, number, number];
}

/** Salesforce/blip-image-captioning-base, and the defaults of the class that writes such files: CLIP's means and deviations. */
export const BLIP_PROCESSOR: BlipProcessorConfig = {
  resize: true,
  size: { height: 384, width: 384 },
  resample: 'bicubic',
  rescale: true,
  rescaleFactor: 1 / 255,
  normalize: true,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};

/** Pillow's numbers of the filters that are built. */
const FILTERS: Readonly<Record<number, Resample>> = { 1: 'lanczos', 2: 'bilinear', 3: 'bicubic', 4: 'box' };
const OP = 'BlipProcessor';
const { fround } = Math;

/**
 * Reads preprocessor_config.json. Fields that it leaves out have the published values.
 * @param json the parsed file
 * @param path its name, for messages
 * @throws InputError naming field, value and path for what cannot be
 * @see transformers BlipImageProcessor
 */
export function parseBlipProcessor(json: unknown, path: string): BlipProcessorConfig {
  const refuse = (name: string, received: unknown, expected: string): never => {
    const fix = 'Use the preprocessor_config.json of a BLIP model.';
    throw new InputError({
      op: OP,
      problem: `unsupported ${name}`,
      expected,
      received: JSON.stringify(received) ?? String(received),
      path,
      fix,
    });
  };
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return refuse('file', json, 'a JSON object');
  const fields = json as Readonly<Record<string, unknown>>;
  const take = <T>(name: string, fallback: T, fits: (value: unknown) => boolean, expected: string): T => {
    const value = fields[name] ?? fallback;
    return fits(value) ? (value as T) : refuse(name, value, expected);
  };
  const flag = (name: string): boolean => take(name, true, v => typeof v === 'boolean', 'true or false');
  const three = (name: string, fallback: BlipProcessorConfig['mean']): BlipProcessorConfig['mean'] =>
    take(name, fallback, v => Array.isArray(v) && v.length === 3 && v.every(Number.isFinite), 'three numbers');
  const code = take('resample', 3, v => typeof v === 'number' && v in FILTERS, '1, 2, 3 or 4, a filter of Pillow');
  return {
    resize: flag('do_resize'),
    size: take('size', BLIP_PROCESSOR.size, isSize, 'height and width in pixels'),
    resample: FILTERS[code] ?? BLIP_PROCESSOR.resample,
    rescale: flag('do_rescale'),
    rescaleFactor: take('rescale_factor', BLIP_PROCESSOR.rescaleFactor, Number.isFinite, 'a number'),
    normalize: flag('do_normalize'),
    mean: three('image_mean', BLIP_PROCESSOR.mean),
    std: three('image_std', BLIP_PROCESSOR.std),
  };
}

function isSize(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { height, width } = value as Partial<PictureSize>;
  return [height, width].every(side => typeof side === 'number' && Number.isInteger(side) && side > 0);
}

/**
 * Pictures as the encoder takes them: x = (v * factor - mean) / std of each channel, after resizing to exactly `size`.
 * The product is rounded to f32, then the difference, then the quotient.
 * @param pictures one or several of any sizes; grey ones count as R = G = B
 * @param config what to do
 * @param size other sides than the config's
 * @returns [N, 3, height, width]
 * @throws InputError for an empty list, damaged pictures, sides that are no positive whole numbers, and pictures of several
 * sizes where the config does not resize
 * @see transformers BlipImageProcessor.preprocess (same numbers)
 */
export function processPictures(
  pictures: Picture | readonly Picture[],
  config: BlipProcessorConfig = BLIP_PROCESSOR,
  size?: PictureSize | undefined,
): NdArray {
  checkMember(OP, size ?? config?.size, 'width', 'number', 'a config with a size, or a size of its own');
  const { width: across, height: down } = size ?? config.size;
  const list = asList(pictures, OP).map(picture => {
    const rgb = isGrey(checkImage(picture, OP)) ? greyToRgb(picture as Picture & { channels: 1 }) : picture;
    return config.resize || (size !== undefined && size !== config.size)
      ? resize(rgb, across, down, config.resample)
      : rgb;
  });
  const { width = 0, height = 0 } = list[0] ?? {};
  const other = list.find(picture => picture.width !== width || picture.height !== height);
  if (other) {
    throw new InputError({
      op: OP,
      problem: 'pictures of several sizes, and the config does not resize them',
      expected: `${width} x ${height}`,
      received: `${other.width} x ${other.height}`,
      fix: 'Resize them first, or pass a size.',
    });
  }
  const tables = [0, 1, 2].map(channel => levels(config, channel));
  const plane = width * height;
  const data = new Float32Array(list.length * 3 * plane);
  for (const [n, { data: rgb }] of list.entries()) {
    for (const [c, table] of tables.entries()) {
      const from = (n * 3 + c) * plane;
      for (let i = 0; i < plane; i++) data[from + i] = table[rgb[3 * i + c] ?? 0] ?? 0;
    }
  }
  return ndarray(data, [list.length, 3, height, width], 'nchw');
}

/** What each of the 256 levels of a channel becomes. */
function levels(config: BlipProcessorConfig, channel: number): Float32Array {
  const [mean, std] = [fround(config.mean[channel] ?? 0), fround(config.std[channel] ?? 1)];
  return Float32Array.from({ length: 256 }, (_, v) => {
    const x = config.rescale ? fround(v * config.rescaleFactor) : v;
    return config.normalize ? fround(fround(x - mean) / std) : x;
  });
}
