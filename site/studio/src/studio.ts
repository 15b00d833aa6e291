/** The page's state, and what its buttons do. */
import { caption, type FitMode, type FitModel, generatePrompts, maskToImage, type RgbImage } from 'pentimento';
import type { WorkerPipeline } from 'pentimento/worker';
import { box, button, element, input, select } from '../../shared/elements.ts';
import { Progress } from '../../shared/progress.ts';
import { AdapterPanel } from './adapters.ts';
import { CropFrame } from './crop.ts';
import { Editor, findMask, maskKey, runArguments, type Subject, type Watch } from './edit.ts';
import { KernelPanel } from './kernel-panel.ts';
import { Mask } from './mask.ts';
import { adjustments, setAdjustments, showAdjustments } from './mask-sliders.ts';
import { nameModel, showHow } from './model-panel.ts';
import { type Choice, embedded, Models } from './models.ts';
import { Painter } from './painter.ts';
import { showPlan } from './plan-table.ts';
import { Runner } from './runner.ts';
import { type Asked, CENTRE, readSettings, writeSettings } from './settings-file.ts';
import { SettingsForm } from './settings-form.ts';
import { Stage } from './stage.ts';
import { frameOf, sameFrame, subjectOf } from './subject.ts';
import { showSuggestions } from './suggestions.ts';
import { Tries, type Try } from './tries.ts';

/** How many sentences are suggested. */
const SUGGESTIONS = 4;

/** Everything behind the page. */
export class Studio {
  readonly progress = new Progress();
  readonly form = new SettingsForm();
  readonly tries = new Tries(chosen => this.#show(chosen));
  readonly painter: Painter;
  readonly models: Models;
  readonly #stage = new Stage();
  readonly #editor = new Editor();
  readonly #kernels = new KernelPanel();
  readonly #crop: CropFrame;
  readonly #runner: Runner;
  readonly #adapters: AdapterPanel;
  #photo: RgbImage | undefined;
  #subject: Subject | undefined;
  /** Why a picture that is there cannot be worked at. */
  #unfit: unknown;
  /** Why no model could be opened. */
  #shut: unknown;
  /** What the mask was found for; undefined where it was drawn by hand. */
  #maskKey: string | undefined;
  /** What is open, for what is asked while a frame is dragged. */
  #model: FitModel | undefined;
  /** Which model's settings the form shows. */
  #fitted: Choice | undefined;

  constructor(choice: Choice) {
    const say = (text: string): void => this.progress.say(text);
    this.models = new Models(choice, {
      onProgress: event => this.progress.step(event),
      onBytes: event => this.progress.bytes(event),
      onWarning: say,
      onDeviceLoss: event => this.progress.loss(event),
    });
    this.painter = new Painter(() => this.maskChanged(), say);
    this.#crop = new CropFrame(done => (done ? this.refit() : this.#showFrame()), say);
    const failed = (error: unknown): Promise<void> => this.#failed(error);
    this.#runner = new Runner(this.progress, this.#stage.preview, () => this.#showFrame(), failed);
    this.#adapters = new AdapterPanel({
      busy: (text, work) => this.#runner.run(text, async ({ signal }) => work(await this.#pipe(signal), signal)),
    });
  }

  get choice(): Choice {
    return this.models.choice;
  }

  /** Opens the model, and fits the page to it. */
  async open(choice?: Choice): Promise<void> {
    const before = this.choice;
    if (this.#runner.runs) {
      showHow(before);
      return this.progress.say('Something is running; cancel it before another model is opened.');
    }
    if (this.#runner.closed) return;
    nameModel('opening…');
    this.#model = undefined;
    let pipe: WorkerPipeline | undefined;
    await this.#runner.run('Opening the model…', async ({ signal }) => {
      if (choice) await this.models.choose(choice);
      pipe = await this.#pipe(signal);
      return this.choice === embedded || !this.#subject ? 'Ready.' : this.#plan(pipe);
    });
    if (!pipe) {
      this.#model = undefined;
      if (choice) await this.models.choose(before);
      showHow(before);
      nameModel(`No model is open; what you ask for next opens ${before.name}.`);
    } else if (this.choice === embedded) void this.models.keepForLater();
  }

  /** There is no WebGPU: nothing can be run, and the page says why. */
  refuse(): void {
    nameModel('No model can be opened here.');
    this.#runner.close();
    const where = 'Chrome, Edge, Safari 26 and Firefox 141 or newer have it, over https or from localhost.';
    this.#shut = new Error(`This browser offers no WebGPU here. ${where}`);
    this.progress.fail(this.#shut);
  }

  /** The model; one that was opened anew has the page fitted to it. */
  async #pipe(signal?: AbortSignal): Promise<WorkerPipeline> {
    const pipe = await this.models.pipeline(signal).catch(error => {
      const cancelled = error.name === 'AbortError';
      this.#shut = cancelled ? undefined : error;
      throw cancelled && !signal ? new Error('Opening the model was cancelled; ask again for this.') : error;
    });
    if (this.#model === pipe) return pipe;
    [this.#model, this.#shut] = [pipe, undefined];
    const same = this.#fitted === this.choice;
    this.#fitted = this.choice;
    this.#adapters.forget();
    this.form.model(pipe.recommended, same);
    const { width, height } = pipe.defaultSize;
    const held = pipe.bytes > 0 ? `, ${Math.round(pipe.bytes / 1e6)} MB on the device` : '';
    nameModel(`${this.choice.name}, ${pipe.dtype}, ${width} × ${height} pixels${held}.`);
    const { description, vendor, architecture } = pipe.caps;
    const device = description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed';
    box('device').textContent = `Device: ${device}.`;
    this.refit();
    return pipe;
  }

  /** The model for what is no run of its own: where none is open, it is opened by one. @returns undefined where it could not be, as the page has said */
  async #ready(): Promise<WorkerPipeline | undefined> {
    const { runs, closed } = this.#runner;
    if (!this.#model && !runs && !closed) {
      await this.open();
      if (!this.#model) return undefined;
    }
    return this.#pipe();
  }

  /** Another picture. */
  photo(photo: RgbImage, shows?: string): void {
    if (this.#runner.locked) {
      this.progress.say('The edit that runs needs its own picture; cancel it first.');
      return;
    }
    this.#photo = photo;
    if (shows) input('source').value = shows;
    else select('sample').value = '';
    this.#crop.crop = CENTRE;
    this.#stage.photo(photo);
    if (this.#shut && !this.#runner.runs) this.progress.problem(this.#shut);
    else this.progress.solved();
    if (this.#model) this.refit();
    else {
      box('size').textContent = '';
      this.#maskFor(undefined);
    }
  }

  /** The picture as the model sees it, where there are both. */
  refit(): void {
    const [photo, model] = [this.#photo, this.#model];
    if (!photo || !model) return;
    const before = this.#subject;
    if (this.#unfit) this.progress.solve(this.#unfit);
    [this.#subject, this.#unfit] = [undefined, undefined];
    try {
      this.#subject = subjectOf(photo, model, select('fit').value as FitMode, this.#crop.crop);
    } catch (error) {
      this.#unfit = error;
      this.progress.problem(error);
    }
    this.#stage.result(undefined);
    this.#editor.forget();
    this.#maskFor(before);
    box('size').textContent = '';
    if (!this.#subject) return;
    const { working } = this.#subject.fitted;
    box('size').textContent =
      `${photo.width} × ${photo.height} pixels; the model works at ${working.width} × ${working.height}.`;
    this.#stage.fit(this.#subject.fitted);
  }

  /** What was painted stays where the picture is as it was; a mask of another one goes. */
  #maskFor(before: Subject | undefined): void {
    const painted = this.painter.mask?.undoable === true;
    if (painted && before && this.#subject && sameFrame(before, this.#subject)) this.maskChanged();
    else {
      this.#setMask(undefined);
      if (painted) this.progress.say('The painted mask belonged to the picture as it was, and is gone.');
    }
  }

  /** What the page asks now. @throws Error for a field that holds nothing possible */
  asked(): Asked {
    const negative = input('negative').value.trim();
    const negativePrompt = negative || this.form.negativePrompt;
    return {
      sourcePrompt: input('source').value.trim(),
      targetPrompt: input('target').value.trim(),
      ...(negativePrompt === undefined ? {} : { negativePrompt }),
      seed: input('seed').valueAsNumber || 0,
      fit: select('fit').value as FitMode,
      crop: this.#crop.crop,
      settings: this.form.values,
      mask: adjustments(),
    };
  }

  /** Puts a file of settings into the page. */
  async settings(text: string): Promise<void> {
    const asked = readSettings(text);
    if (this.#runner.locked) return this.progress.say('An edit is running; cancel it first.');
    if (!(await this.#ready())) return;
    input('source').value = asked.sourcePrompt;
    input('target').value = asked.targetPrompt;
    input('negative').value = asked.negativePrompt ?? '';
    input('seed').value = String(asked.seed);
    select('fit').value = asked.fit;
    this.#crop.crop = asked.crop;
    this.form.values = asked.settings;
    setAdjustments(asked.mask);
    this.refit();
    this.adjust();
    if (!this.#unfit) this.progress.solved('The settings are as in the file.');
  }

  /** Finds the mask and shows it. */
  find(): Promise<unknown> {
    return this.#runner.runLocked('Finding the mask…', async watch => {
      await this.#find(await this.#pipe(watch.signal), watch);
      return 'Here is the mask. Adjust it, paint over it, or edit.';
    });
  }

  /** A mask with nothing in it, to be painted. */
  async blank(): Promise<void> {
    const pipe = await this.#ready();
    if (!pipe) return;
    const { working } = this.#subjectNow().fitted;
    const [width, height] = [working.width / pipe.vaeScaleFactor, working.height / pipe.vaeScaleFactor];
    const soft = this.form.values['maskMode'] === 'soft';
    this.#stage.result(undefined);
    input('show-mask').checked = true;
    this.#setMask(new Mask(new Float32Array(width * height), width, height, soft));
    this.progress.solved();
  }

  /** Edits; finds the mask before, where there is none for what is asked. */
  edit(): Promise<unknown> {
    return this.#runner.runLocked('Editing…', async watch => {
      const pipe = await this.#pipe(watch.signal);
      const begin = performance.now();
      const subject = this.#subjectNow();
      const { mask: held } = this.painter;
      const found = this.#maskKey;
      const stale = found !== undefined && !held?.undoable && found !== this.#keyOfMask();
      const mask = held && !stale ? held : await this.#find(pipe, watch);
      this.#stage.result(undefined);
      const asked = this.asked();
      const picture = await this.#editor.edit(pipe, asked, subject, mask, watch);
      const grey = maskToImage(mask.values(), pipe.vaeScaleFactor);
      const seconds = (performance.now() - begin) / 1000;
      this.tries.add({ asked, model: this.choice.name, picture, photo: subject.photo, mask: grey, seconds });
      this.#stage.result(picture);
      input('show-mask').checked = false;
      this.painter.show();
      return `Done in ${seconds.toFixed(0)} s. Move the slider between before and after.`;
    });
  }

  /** Writes what the picture shows. */
  caption(): Promise<unknown> {
    return this.#runner.run('Describing the picture…', async ({ signal }) => {
      const photo = this.#photo;
      if (!photo) throw new Error('There is no picture yet: drop one, or take a sample.');
      input('source').value = await caption(await this.models.captioner(signal), photo, null, { signal });
      return `It shows: ${input('source').value}`;
    });
  }

  /** Writes prompts about a word. */
  suggest(): Promise<unknown> {
    return this.#runner.run('Writing prompts…', async ({ signal }) => {
      const texts = await generatePrompts(await this.models.writer(signal), input('concept').value.trim(), {
        n: SUGGESTIONS,
        signal,
      });
      return showSuggestions(texts, text => {
        input('target').value = text;
        this.progress.say(`It shall show: ${text}`);
      });
    });
  }

  /** Says what an edit would take. */
  plan(): Promise<unknown> {
    return this.#runner.run('Planning…', async ({ signal }) => this.#plan(await this.#pipe(signal)));
  }

  async #plan(pipe: WorkerPipeline): Promise<string> {
    return showPlan(await pipe.plan(runArguments(this.asked(), this.#subjectNow())));
  }

  /** Measures the kernels on the visitor's device. */
  measure(): Promise<unknown> {
    return this.#runner.run('Measuring the kernels…', ({ signal }) =>
      this.#kernels.measure(this.models.worker, signal, this.progress),
    );
  }

  async copyKernels(): Promise<void> {
    this.progress.say(await this.#kernels.copy());
  }

  /** The sliders of the mask have moved. */
  adjust(): void {
    showAdjustments();
    if (this.painter.mask) {
      this.painter.mask.adjustments = adjustments();
      input('show-mask').checked = true;
    }
    this.maskChanged();
  }

  /** The mask is another one. */
  maskChanged(): void {
    const { mask } = this.painter;
    element('mask-tools', HTMLFieldSetElement).disabled = !mask;
    button('undo').disabled = !mask?.undoable;
    this.painter.show();
    this.#showFrame();
  }

  /** Ends what runs. */
  cancel(): void {
    this.#runner.cancel();
  }

  /** Puts what the chosen try was asked into the page. */
  async useAgain(): Promise<void> {
    const { chosen } = this.tries;
    if (!chosen) return;
    this.photo(chosen.photo);
    await this.settings(writeSettings(chosen.asked, chosen.model));
  }

  async #failed(error: unknown): Promise<void> {
    const full = await this.models.withoutKeeping(error);
    this.progress.fail(error);
    if (full) this.progress.say('Press again: the model is read without being kept in this browser.');
  }

  /** The frame as it is dragged; what the model sees follows when it is let go. */
  #showFrame(): void {
    const [photo, model] = [this.#photo, this.#model];
    if (!photo || !model || select('fit').value !== 'crop') {
      this.#crop.show(undefined, false);
      return;
    }
    const frame = frameOf(photo, model, this.#crop.crop);
    this.#crop.show(frame, !this.#runner.locked && !this.painter.mask && !this.#stage.shows);
    if (!this.#runner.locked) this.#stage.fit(frame);
  }

  #keyOfMask(): string {
    return JSON.stringify([maskKey(this.asked()), this.#adapters.state]);
  }

  #subjectNow(): Subject {
    if (this.#subject) return this.#subject;
    if (this.#unfit) throw this.#unfit;
    throw new Error('There is no picture yet: drop one, or take a sample.');
  }

  async #find(pipe: WorkerPipeline, watch: Watch): Promise<Mask> {
    const [asked, subject, key] = [this.asked(), this.#subjectNow(), this.#keyOfMask()];
    this.#stage.result(undefined);
    const mask = await findMask(pipe, asked, subject, watch);
    input('show-mask').checked = true;
    this.#setMask(mask, key);
    return mask;
  }

  #setMask(mask: Mask | undefined, key?: string): void {
    this.#maskKey = key;
    if (mask) mask.adjustments = adjustments();
    this.painter.mask = mask;
    this.maskChanged();
  }

  #show({ photo, picture }: Try): void {
    if (this.#runner.locked) return;
    if (photo !== this.#photo) this.photo(photo);
    this.#stage.result(picture);
    input('show-mask').checked = false;
    this.painter.show();
  }
}
