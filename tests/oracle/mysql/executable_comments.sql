/*!40101 SET @OLD_MODE = @@SQL_MODE */;
/*!50003 SET @a = 'it''s; here' */ ;
CREATE TABLE t (a INT /*!80000 INVISIBLE */, b VARCHAR(20) /*M!100000 DEFAULT 'mariadb;' */ /*!99999 NO SUCH SYNTAX */) /*!50100 PARTITION BY HASH (a) PARTITIONS 2 */;
INSERT INTO t (a) VALUES (1), (2 /*! + 3 */), (/*!50000 4 +*/ 4);
/*!999999 DROP TABLE t */;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=CURRENT_USER*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW
BEGIN
    SET NEW.b = CONCAT('trigger;', @a); -- it's; a comment
    SET NEW.a = NEW.a + 1;
END */;;
DELIMITER ;
INSERT INTO t (a) VALUES (10); /* plain; */ /*! INSERT INTO t (a) VALUES (20) */; /*M! INSERT INTO t (a) VALUES (30) */
;
