/* one ; /* two ' " $$ ; */ still one ; */ CREATE TABLE t (a int, b int); -- it's; "fine" $$
INSERT INTO t VALUES (3-/* ; */-2, 5 *-1); --;
INSERT INTO t VALUES (7 /* /* */ ; */ - -- ;
  1, 2); /**/ /***/ /* // **/
INSERT INTO t SELECT 4/*;*/+/*'*/4, 1--1;
;
/*/ */ INSERT INTO t VALUES (9, length('/* not a comment */; --'))
  RETURNING a, '--;';
/* the last /* one */ */

CREATE TABLE bare AS SELECT 1 /* ; /* ; */ ; ' */ AS a, 2 AS b -- ; '
, 3 /**/ AS c /* $$ ; */, '/*' AS d, '--' AS e, $$/*$$ AS f;
