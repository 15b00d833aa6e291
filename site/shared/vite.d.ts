/** What the build puts in. */

/** Files of the embedded models, by folder. */
declare const EMBEDDED_FILES: Readonly<Record<string, readonly string[]>>;

/** The address of a worker's script. */
declare module '*?worker&url' {
  const url: string;
  export default url;
}
