/** Entry of the console page. */
export {};
