/** What the pages say in German. */

const GERMAN: Readonly<Record<string, string>> = {};

export default GERMAN;
