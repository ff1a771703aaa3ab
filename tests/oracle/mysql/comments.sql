# it's; a "comment" `with quotes
CREATE TABLE t (a INT, b VARCHAR(20)); # tail; '
-- it's; too
INSERT INTO t VALUES (1--1, 'two'), (3 --	;
+ 1, '# no -- comment'), (5 # ; '
+ 5, "/* no; */"); /* one /* ; */ INSERT INTO t VALUES (7/* ; ' */+1, ''); --
--
/**/ /***/ INSERT INTO t VALUES (5--
+1, '--;'); #
/*/ ; */ INSERT INTO t VALUES (9, 'end'); -- ; /*
