/** Under which names the weights of a model lie in its folder. */

/** Name of the weight files without extension: diffusers' models and transformers' models. */
export type CheckpointStem = 'diffusion_pytorch_model' | 'model';

/**
 * Every name under which the weights may lie, in order of preference.
 * @param stem name without extension
 * @param variant goes before the extension, in an index also before or after ".index" (older and newer files differ)
 */
export function candidates(stem: CheckpointStem, variant: string | undefined): string[] {
  const bin = stem === 'model' ? 'pytorch_model' : stem;
  return [`${stem}.safetensors`, `${bin}.bin`].flatMap(file => {
    const dot = file.lastIndexOf('.');
    const [name, extension] = [file.slice(0, dot), file.slice(dot + 1)];
    if (variant === undefined) return [file, `${file}.index.json`];
    const single = `${name}.${variant}.${extension}`;
    return [single, `${file}.index.${variant}.json`, `${single}.index.json`, `${file}.${variant}.index.json`];
  });
}
